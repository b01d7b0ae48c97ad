"""What the report of a result directory says, derived from its runs: written into a bundle, and derived again to verify it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from core.contracts.capacity import Capacity
from core.contracts.report_figures import HistogramTotal, ReportCell, ReportFigures, ReportTable, ReportTotals
from core.histogram import Histogram
from harness.analysis.fault_evidence import FaultEvidence
from harness.report.page import view_of
from harness.report.view import Table
from harness.results.run_files import record_of
from harness.results.run_record import Comparison

_NAMES = ("run", "round", "t_s")
"""Columns of numbers that are names, and not measured."""


def figures_of(
    comparison: Comparison,
    search: Capacity | None,
    evidence: FaultEvidence,
    *,
    derived_by: Mapping[str, str],
    logs: Mapping[str, str],
) -> ReportFigures:
    """The figures of the report; `logs` are the hashes of the files that came with it."""
    view = view_of(comparison, search, evidence, draw=False)
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
