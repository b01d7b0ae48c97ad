"""A run in a result directory: a row of summary.csv, rows of timeline.csv, an entry of histograms.json.

manifest.json has the version of these files. results/README.md describes the columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator

from core.contracts.codec import Document, decode, encode, validate
from core.contracts.table import Cell, Counted, Measured, from_cells, read_table, write_table

UNWATCHED = ("broker", "server", "generator", "load", "others")
"""What a run may have failed to watch: its parts, and the machines' other processes."""


def _parts(text: str) -> str:
    unknown = [part for part in text.split() if part not in UNWATCHED]
    if unknown:
        raise ValueError(f"not_watched names {unknown[0]!r}, which is none of {', '.join(UNWATCHED)}")
    return text


class MainColumns(Document):
    """The published columns of summary.csv, in order."""

    remedy: ClassVar[str] = "measure again"
    contender: str
    round: int
    delivery: str
    clients: int
    replicas: Counted
    """None if clients listened to an endpoint, which has no replicas.

    The same applies to `gaps`, which replicas report.
    """
    rate_hz: float
    published: int
    expected: int
    delivered: int
    lost: int
    duplicated: int
    reordered: int
    gaps: Counted
    p50_ms: Measured
    p90_ms: Measured
    p99_ms: Measured
    p999_ms: Measured
    max_ms: Measured
    schedule_p99_ms: Measured
    broker_p50_ms: Measured
    broker_p99_ms: Measured
    fanout_p50_ms: Measured
    fanout_p99_ms: Measured
    broker_cpu_s: Measured
    server_cpu_s: Measured
    generator_cpu_s: Measured
    load_cpu_s: Measured
    broker_rss_mb: Measured
    server_rss_mb: Measured
    valid: bool
    problems: str


class FurtherColumns(Document):
    """The columns after them, in order."""

    remedy: ClassVar[str] = "measure again"
    run: int
    """Its position among the runs, from 1."""
    transport: str
    payload_bytes: int
    topics: str
    schedule: str
    duration_s: float
    achieved_hz: float
    lost_broker: Counted
    lost_gap: Counted
    lost_slow_client: Counted
    lost_connection_down: Counted
    lost_unexplained: Counted
    lost_under_way: Counted
    mean_ms: Measured
    schedule_mean_ms: Measured
    broker_mean_ms: Measured
    fanout_mean_ms: Measured
    schedule_p50_ms: Measured
    generator_rss_mb: Measured
    load_rss_mb: Measured
    broker_core: Measured
    """CPU seconds per second of the part's busiest process: 1.0 is a whole core."""
    server_core: Measured
    generator_core: Measured
    load_core: Measured
    negative: int
    """The number of negative latencies."""
    fault: str
    """The kinds of its faults, separated by spaces; empty without a fault."""
    not_watched: Annotated[str, AfterValidator(_parts)]
    """Parts whose CPU and memory nobody watched, and `others` for other processes, separated by spaces."""


MAIN_COLUMNS = tuple(MainColumns.model_fields)
FURTHER_COLUMNS = tuple(FurtherColumns.model_fields)


class SummaryRow(Document):
    """A row of summary.csv."""

    remedy: ClassVar[str] = "measure again"
    main: MainColumns
    further: FurtherColumns
    figures: dict[str, float]
    """Columns that only some runs have; they come last."""

    def cells(self) -> dict[str, Cell]:
        """Every cell by its column."""
        return {**self.main.model_dump(), **self.further.model_dump(), **self.figures}


class TimelineRow(Document):
    """A row of timeline.csv: one run, one second of due time."""

    remedy: ClassVar[str] = "measure again"
    run: int
    contender: str
    round: int
    t_s: int
    deliveries: int
    p50_ms: float
    p99_ms: float
    max_ms: float


TIMELINE_COLUMNS = tuple(TimelineRow.model_fields)


class RunHistograms(Document):
    """A run's entry in histograms.json: each histogram by its hop, or by `latency`."""

    run: int
    contender: str
    round: int
    histograms: dict[str, str]


class HistogramsFile(Document):
    """histograms.json."""

    remedy: ClassVar[str] = "measure again"
    version: Literal[1] = 1
    format: Literal["HDR V2, base64, microseconds"] = "HDR V2, base64, microseconds"
    runs: tuple[RunHistograms, ...]


class RunRecord(Document):
    """The data of one run in the files."""

    row: SummaryRow
    seconds: tuple[TimelineRow, ...]
    histograms: RunHistograms


def summary_text(records: Sequence[RunRecord]) -> str:
    """summary.csv: one row per run."""
    figures = sorted({name for record in records for name in record.row.figures})
    return write_table([*MAIN_COLUMNS, *FURTHER_COLUMNS, *figures], (record.row.cells() for record in records))


def read_summary(text: str, where: str) -> list[SummaryRow]:
    """Read what `summary_text` wrote.

    Raises:
        DocumentError: a column is missing, or a cell does not fit its column; the message contains `where` and the row.
    """
    rows = []
    known = {*MAIN_COLUMNS, *FURTHER_COLUMNS}
    for number, cells in enumerate(read_table(text), 1):
        at = f"{where}: row {number}"
        figures = {name: cell for name, cell in cells.items() if name not in known and cell}
        main, further = from_cells(MainColumns, cells, at), from_cells(FurtherColumns, cells, at)
        rows.append(validate(SummaryRow, {"main": main, "further": further, "figures": figures}, at))
    return rows


def timeline_text(records: Sequence[RunRecord]) -> str:
    """timeline.csv: one row per run and second."""
    return write_table(TIMELINE_COLUMNS, (second.model_dump() for record in records for second in record.seconds))


def read_timeline(text: str, where: str) -> list[TimelineRow]:
    """Read what `timeline_text` wrote.

    Raises:
        DocumentError: as `read_summary`.
    """
    return [from_cells(TimelineRow, cells, f"{where}: row {n}") for n, cells in enumerate(read_table(text), 1)]


def histograms_text(records: Sequence[RunRecord]) -> str:
    """histograms.json: the histograms of each run, by hop."""
    return encode(HistogramsFile(runs=tuple(record.histograms for record in records)), indent=1) + "\n"


def read_histograms(text: str, where: str) -> HistogramsFile:
    """Read what `histograms_text` wrote.

    Raises:
        DocumentError: a field is missing, unknown or of the wrong type.
    """
    return decode(HistogramsFile, text, where)
