"""The plan of a capacity search, and its answer as a document."""

from __future__ import annotations

from collections.abc import Sequence

from core.contracts.capacity import Axis, Capacity, CapacityPoint
from core.scenario import Scenario
from harness.analysis.capacity_answers import p99_at_held
from harness.analysis.slo import Slo
from harness.capacity.search import SearchAnswer, SearchBounds
from harness.results.run_record import Run
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
    """The answer with its runs, and their p99 at the largest load that passed."""
    return Capacity(
        contender=contender,
        vary=axis,
        slo=str(slo),
        held=answer.held,
        broke=answer.broke,
        confirmed=answer.confirmed,
        note=answer.note,
        p99_ms=p99_at_held(answer.held, points, runs),
        points=tuple(points),
    )
