"""The table of figures that only some comparisons measure."""

from __future__ import annotations

from harness.analysis.order import in_order
from harness.report.sessions import FIGURES as OF_SESSIONS
from harness.report.view import Cell, Table, number
from harness.results.run_record import Comparison

_FURTHER = {
    "broker_growth_mb_min": "broker growth, MB per minute",
    "server_growth_mb_min": "replicas growth, MB per minute",
    "generator_growth_mb_min": "generator growth, MB per minute",
    "load_growth_mb_min": "load growth, MB per minute",
    "connect_p50_ms": "connect p50 ms",
    "connect_p99_ms": "connect p99 ms",
    "turn_p99_ms": "wait for a turn to connect, p99 ms",
    "connecting_s": "s until all were connected",
    "connection_kb": "KB per connection",
    "event_bytes": "bytes per event",
    "offered_hz": "events/s offered",
    "others_cores": "cores of other processes",
}
"""The column names for figures of single runs."""


def further_figures(comparison: Comparison) -> list[Table]:
    """Figures that only some comparisons have: the median over valid rounds."""
    names = sorted({name for run in comparison.runs for name in run.figures if name not in OF_SESSIONS})
    rows = []
    for standing in in_order(comparison):
        figures = [standing.median_figure(name) for name in names]
        if any(figure is not None for figure in figures):
            rows.append([Cell(standing.contender, small=standing.delivery), *(Cell(number(f)) for f in figures)])
    headings = ["contender", *(_FURTHER.get(name, name.replace("_", " ")) for name in names)]
    return [Table("Further figures", headings, rows, "Median over the valid rounds.")] if rows else []
