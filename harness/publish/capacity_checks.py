"""Derives the result of a capacity search again from its runs, and compares it."""

from __future__ import annotations

from collections.abc import Iterator

from core.contracts.capacity import Axis, Capacity, CapacityPoint
from core.errors import UsageError
from core.scenario import Scenario
from core.topics import expand_topics
from harness.analysis.capacity_answers import p99_at_held
from harness.analysis.slo import Slo
from harness.publish.contradictions import Contradiction, unequal
from harness.results.run_record import LATENCY, Comparison, Run


def capacity_differences(where: str, found: Capacity, comparison: Comparison) -> Iterator[Contradiction]:
    """Yield the differences in capacity.json; `where` names it."""
    if len(found.points) != len(comparison.runs):
        yield Contradiction(f"{where}: points", f"{len(found.points)} of them", f"{len(comparison.runs)}, one a run")
        return
    try:
        slo = Slo.parse(found.slo)
    except UsageError as error:
        yield Contradiction(f"{where}: slo", repr(found.slo), f"an objective: {error}")
        return
    for number, (point, run) in enumerate(zip(found.points, comparison.runs, strict=True), 1):
        yield from unequal(f"{where}: run {number}: contender", found.contender, run.contender)
        yield from unequal(f"{where}: run {number}: ", point, _judged(point, run, found.vary, slo))
    yield from unequal(f"{where}: p99_ms", found.p99_ms, p99_at_held(found.held, found.points, comparison.runs))
    yield from _answer(where, found)


def _judged(stored: CapacityPoint, run: Run, axis: Axis, slo: Slo) -> CapacityPoint:
    """Derive the point of a run. A refused run may be judged or not: that depended on the cores where it ran."""
    latency = run.histograms.get(LATENCY)
    why = "; ".join(run.problems) or slo.broken_by(run)
    return CapacityPoint(
        load=_load(run.scenario, axis),
        held=not why,
        p99_ms=latency.percentile_ms(99) if latency else 0.0,
        lost=run.lost,
        why=why,
        judged=False if run.permanent else stored.judged or run.valid,
        by_harness=not run.valid or slo.hidden_by_clocks(run) if "by_harness" in stored.model_fields_set else False,
    )


def _load(scenario: Scenario, axis: Axis) -> int:
    match axis:
        case "clients":
            return scenario.clients
        case "rate":
            return int(scenario.rate_hz)
        case "replicas":
            return scenario.replicas
        case "topics":
            return len(expand_topics(scenario.topics))


def _answer(where: str, found: Capacity) -> Iterator[Contradiction]:
    """Check that `held` held in most of its runs, and that `broke` is above it and broke in a run."""
    if found.held is not None and not _held_mostly(found, found.held):
        yield Contradiction(f"{where}: held", f"{found.held}", "a load that held in most of its runs")
    if found.broke is None:
        return
    if found.broke <= (found.held or 0):
        yield Contradiction(f"{where}: broke", f"{found.broke}", f"a load above {found.held}, which held")
    if not any(point.load == found.broke and not point.held for point in found.points):
        yield Contradiction(f"{where}: broke", f"{found.broke}", "a load with a run that did not hold")


def _held_mostly(found: Capacity, load: int) -> bool:
    judged = [point.held for point in found.points if point.load == load and point.judged]
    return bool(judged) and 2 * judged.count(True) > len(judged)
