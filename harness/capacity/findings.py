"""The plan of a capacity search, and its answer as a document and as a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from core.contracts.capacity import Axis, Capacity, CapacityPoint
from core.scenario import Scenario
from harness.analysis.judgement_words import ms
from harness.analysis.slo import Slo
from harness.analysis.standings import percentile_band
from harness.capacity.search import SearchAnswer, SearchBounds
from harness.results.run_record import LATENCY, Run
from harness.runner.host import most_clients, most_load_processes

_MOST: dict[Axis, int] = {"clients": 10**6, "rate": 100_000, "replicas": 16, "topics": 10_000}


def bounds(scenario: Scenario, axis: Axis) -> SearchBounds:
    """The search's plan: from the scenario's clients or rate, or from one replica or topic."""
    starts: dict[Axis, int] = {"clients": scenario.clients, "rate": int(scenario.rate_hz), "replicas": 1, "topics": 1}
    processes = scenario.load_processes or most_load_processes()
    most = min(_MOST[axis], most_clients(scenario.replicas, processes)) if axis == "clients" else _MOST[axis]
    return SearchBounds(start=starts[axis], least=1, most=most)


def as_found(
    contender: str, axis: Axis, slo: Slo, answer: SearchAnswer, points: Sequence[CapacityPoint], runs: Sequence[Run]
) -> Capacity:
    """The answer with its runs, and the p99 of those at the largest load that held."""
    at_held = [
        run.histograms[LATENCY]
        for point, run in zip(points, runs, strict=True)
        if point.load == answer.held and point.judged and LATENCY in run.histograms
    ]
    band = percentile_band(at_held, [99])
    return Capacity(
        contender=contender,
        vary=axis,
        slo=str(slo),
        held=answer.held,
        broke=answer.broke,
        confirmed=answer.confirmed,
        note=answer.note,
        p99_ms=(band[0].estimate, band[0].low, band[0].high) if band else None,
        points=tuple(points),
    )


def in_words(found: Capacity) -> str:
    """The answer as a sentence: the load that holds with its interval, where it breaks, and what broke first."""
    if found.held is None:
        why = next((f"; {point.why}" for point in reversed(found.points) if point.why), "")
        return f"{found.contender}: found no load that holds {found.slo}: {found.note or 'nothing was measured'}{why}"
    said = f"{_times(found, found.held, 'held')}{_interval(found)}"
    if not found.confirmed:
        words = f"{found.contender}: at least {found.held:,} {found.vary} held {found.slo} ({said}), not confirmed: {found.note}"
        return words + (f"; {_break(found)}" if found.broke is not None else "")
    words = f"{found.contender} holds {found.slo} up to {found.held:,} {found.vary} ({said})"
    if found.broke is None:
        return f"{words}; {found.note}"
    return f"{words}; {_break(found)}" + (f"; {found.note}" if found.note else "")


def _times(found: Capacity, load: int, outcome: str) -> str:
    """`held in 3 of 3 runs`, of those that were judged."""
    judged = [point.held for point in found.points if point.load == load and point.judged]
    return f"{outcome} in {judged.count(outcome == 'held')} of {len(judged)} runs"


def _interval(found: Capacity) -> str:
    if found.p99_ms is None:
        return ""
    estimate, low, high = map(ms, found.p99_ms)
    return f", p99 {estimate} ms [{low}, {high}]"


def _break(found: Capacity) -> str:
    """Where it breaks and what broke first; of a load that no run could judge, that.

    Where no run broke the objective, and checks of the harness refused them, it is the harness that ends there.
    """
    assert found.broke is not None
    at_break = [point for point in found.points if point.load == found.broke and not point.held]
    judged = [point for point in at_break if point.judged]
    if not judged:
        return f"{found.broke:,}: {at_break[0].why}" if at_break else f"{found.broke:,} was not measured"
    broken = next((point for point in judged if not point.by_harness), None)
    if broken is None:
        return (
            f"the harness reached its limit at {found.broke:,}, which says nothing about {found.contender}: "
            f"{_times(found, found.broke, 'refused')}, first: {judged[0].why}"
        )
    return f"{found.broke:,} {_times(found, found.broke, 'broke')}, first: {broken.why}"
