"""Derives the report of a result directory from its runs: once for the bundle, and again to verify it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.contracts.capacity import Capacity
from core.contracts.manifest import Manifest
from core.contracts.report_figures import HistogramTotal, ReportCell, ReportFigures, ReportTable, ReportTotals
from core.histogram import Histogram
from core.plain_text import plain
from harness.analysis.capacity_answers import in_words
from harness.analysis.fault_evidence import evidence_among
from harness.analysis.stored_results import Result
from harness.report.page import view_of
from harness.report.view import Table, View
from harness.results.load import load_capacity, load_manifest, load_results
from harness.results.run_files import record_of
from harness.results.run_record import Comparison

_NAMES = ("run", "round", "t_s")
"""Columns whose numbers are identifiers, not measurements."""


@dataclass(frozen=True, slots=True)
class StoredResult:
    """The content of a result directory."""

    folder: Path
    manifest: Manifest
    comparison: Comparison
    search: Capacity | None

    def view(self, beside: Sequence[Result], *, draw: bool) -> View:
        """Make its report, with the faults from the results `beside` it.

        Derives the verdict, also of a capacity search.
        """
        comparison = self.comparison
        if self.search is not None:
            comparison = replace(comparison, verdict=(in_words(self.search),))
        return view_of(comparison, self.search, evidence_among(plain(self.folder.name), comparison, beside), draw=draw)

    def figures(
        self, beside: Sequence[Result], *, derived_by: Mapping[str, str], logs: Mapping[str, str]
    ) -> ReportFigures:
        """Return the figures of its report; `logs` are the hashes of its log files."""
        view, comparison = self.view(beside, draw=False), self.comparison
        return ReportFigures(
            derived_by=dict(derived_by),
            name=comparison.name,
            started_utc=comparison.started_utc,
            complete=comparison.complete,
            command=comparison.command,
            host=comparison.host,
            versions=comparison.versions,
            libraries=comparison.libraries,
            fanbench=comparison.fanbench,
            verdict=tuple(view.verdict),
            next_steps=view.next_steps,
            tables=tuple(_table(table) for table in [*([view.decision] if view.decision else []), *view.tables]),
            method=tuple(view.method),
            totals=totals_of(comparison),
            logs=dict(logs),
        )


def load(folder: Path) -> StoredResult:
    """Read a result directory.

    Raises:
        UsageError: the directory is not a result, or is damaged.
    """
    return StoredResult(folder, load_manifest(folder), load_results(folder), load_capacity(folder))


def _table(table: Table) -> ReportTable:
    rows = tuple(tuple(ReportCell(text=cell.text, small=cell.small) for cell in row) for row in table.rows)
    return ReportTable(title=table.title, headings=tuple(table.headings), rows=rows, note=table.note)


def totals_of(comparison: Comparison) -> ReportTotals:
    """Return the sums over all runs."""
    records = [record_of(run, number) for number, run in enumerate(comparison.runs, 1)]
    merged: dict[str, Histogram] = {}
    for run in comparison.runs:
        for span, histogram in run.histograms.items():
            merged.setdefault(span, Histogram()).merge(histogram)
    return ReportTotals(
        runs=len(comparison.runs),
        columns=_sums(record.row.cells() for record in records),
        seconds=_sums(second.model_dump() for record in records for second in record.seconds),
        histograms={
            span: HistogramTotal(count=histogram.count, mean_ms=histogram.mean_ms())
            for span, histogram in sorted(merged.items())
        },
    )


def _sums(rows: Iterable[Mapping[str, object]]) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for row in rows:
        for name, cell in row.items():
            if isinstance(cell, int | float) and not isinstance(cell, bool) and name not in _NAMES:
                found[name] += cell
    return dict(sorted(found.items()))
