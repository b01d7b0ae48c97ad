"""Evaluates other objectives on the runs of a capacity search."""

from __future__ import annotations

from collections.abc import Sequence

from core.contracts.capacity import Axis
from core.topics import expand_topics
from harness.analysis.slo import Slo
from harness.results.run_record import Run


def load_of(run: Run, vary: Axis) -> int:
    """The value to which a search raised `vary`."""
    scenario = run.scenario
    loads = {"clients": scenario.clients, "rate": int(scenario.rate_hz), "replicas": scenario.replicas}
    return loads[vary] if vary in loads else len(expand_topics(scenario.topics))


def largest_held(runs: Sequence[Run], vary: Axis, slo: Slo) -> int | None:
    """Return the largest load at which every valid run meets the objective, and below which no load breaks it; None without any.

    A refused run says nothing about its load. A load with only refused runs is left out.
    """
    held: dict[int, bool] = {}
    for run in runs:
        if run.valid:
            load = load_of(run, vary)
            held[load] = held.get(load, True) and not slo.broken_by(run)
    least_broken = min((load for load, all_held in held.items() if not all_held), default=None)
    below = [load for load in held if least_broken is None or load < least_broken]
    return max(below, default=None)
