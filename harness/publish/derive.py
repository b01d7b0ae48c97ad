"""What the report of a result directory says, derived from its runs: written into a bundle, and derived again to verify it."""

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
"""Columns of numbers that are names, and not measured."""


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result directory that was read."""

    folder: Path
    manifest: Manifest
    comparison: Comparison
    search: Capacity | None

    def view(self, beside: Sequence[Result], *, draw: bool) -> View:
        """Its report, with the faults among the results `beside` it; the verdict is derived, that of a search too."""
        comparison = self.comparison
        if self.search is not None:
            comparison = replace(comparison, verdict=(in_words(self.search),))
        return view_of(comparison, self.search, evidence_among(plain(self.folder.name), comparison, beside), draw=draw)

    def figures(
        self, beside: Sequence[Result], *, derived_by: Mapping[str, str], logs: Mapping[str, str]
    ) -> ReportFigures:
        """What its report says; `logs` are the hashes of the files that came with it."""
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
        UsageError: it is none, or is damaged.
    """
    return StoredResult(folder, load_manifest(folder), load_results(folder), load_capacity(folder))


def _table(table: Table) -> ReportTable:
    rows = tuple(tuple(ReportCell(text=cell.text, small=cell.small) for cell in row) for row in table.rows)
    return ReportTable(title=table.title, headings=tuple(table.headings), rows=rows, note=table.note)


def totals_of(comparison: Comparison) -> ReportTotals:
    """The sums over all runs."""
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
