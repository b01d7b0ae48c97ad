"""report.json: the texts and numbers of a result directory's report, which can be derived again and compared."""

from __future__ import annotations

from typing import ClassVar, Literal

from core.contracts.codec import Document


class ReportCell(Document):
    """One cell of a table."""

    text: str
    small: str = ""
    """A second line."""


class ReportTable(Document):
    """A table of the report; the first cell of each row names it."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[ReportCell, ...], ...]
    note: str


class HistogramTotal(Document):
    """The runs' histograms of one hop, merged."""

    count: int
    mean_ms: float
    """Not rounded."""


class ReportTotals(Document):
    """Sums over all runs of a result directory, including refused ones, not rounded."""

    runs: int
    columns: dict[str, float]
    """Sums by numeric column of summary.csv; what was not measured counts as 0."""
    seconds: dict[str, float]
    """Sums by measured column of timeline.csv."""
    histograms: dict[str, HistogramTotal]
    """Histograms by hop and `latency`."""


class ReportFigures(Document):
    """Everything in the report of one result directory, and the fanbench version that derived it."""

    remedy: ClassVar[str] = "make the bundle again with fanbench bundle"
    version: Literal[1] = 1
    derived_by: dict[str, str]
    """The `version` of the fanbench that made the bundle, and its `commit`."""
    name: str
    started_utc: str
    complete: bool
    command: str
    """The command that repeats the measurement."""
    host: dict[str, str]
    versions: dict[str, str]
    libraries: dict[str, str]
    fanbench: dict[str, str]
    """The fanbench that measured it."""
    verdict: tuple[str, ...]
    next_steps: tuple[str, ...] = ()
    tables: tuple[ReportTable, ...]
    """In the report's order, starting with the first screen."""
    method: tuple[str, ...]
    totals: ReportTotals
    logs: dict[str, str]
    """The SHA-256 of each file in logs/; the bundle does not contain the logs."""
