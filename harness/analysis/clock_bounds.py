"""How far the clocks of several hosts may have moved a run's figures, as the load found out."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.judgement_words import listed, ms
from harness.results.run_record import HOPS, LATENCY, Run
from harness.results.summary import split_metric

_WORDS = {LATENCY: "each latency is exact", "broker": "the broker hop", "fanout": "the fan-out"}


def clock_bound(runs: Sequence[Run], column: str) -> float:
    """The widest bound in any run, in milliseconds, of a column of summary.csv; 0 on one host, and for other columns."""
    metric = split_metric(column)
    return 0.0 if metric is None else _widest(runs, metric[0])


def bounds_told(runs: Sequence[Run]) -> list[str]:
    """The sentence that gives each figure its bound; empty on one host."""
    bounds = {span: _widest(runs, span) for span in (LATENCY, *HOPS)}
    said = [f"{_WORDS[span]} to {ms(bound)} ms" for span, bound in bounds.items() if bound and span in _WORDS]
    return [f"By the hosts' clocks, {listed(said)} (the widest bound of any run)."] if said else []


def _widest(runs: Sequence[Run], span: str) -> float:
    return max((run.figures.get(f"{span}_bound_ms", 0.0) for run in runs), default=0.0)
