"""Evidence in stored results for and against a contender, each figure with its run and directory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from brokers.contenders import declared
from brokers.registry import installed
from core.contracts.run_record import SummaryRow
from core.scenario import Scenario
from harness.analysis.fault_outcomes import is_fault_run
from harness.analysis.slo import Slo
from harness.analysis.stored_results import Result
from harness.analysis.verdict import workload
from harness.choose.fault_queries import against_in_faults
from harness.choose.needs import Needs
from harness.choose.quoting import cite
from harness.results.run_record import Run
from harness.results.summary import row_of

COMPARED_BY = "p99_ms"


def against(name: str, delivery: str, needs: Needs, results: Sequence[Result]) -> Iterator[str]:
    """The reasons that rule a contender out, each with its measurement."""
    if needs.promise == "at-least-once" and delivery != needs.promise:
        yield f"it promises {delivery} only (delivery in summary.csv)"
    if needs.replay and replays(name) is False:
        yield "its adapter cannot replay what was published before (declared by the adapter)"
    yield from _too_large(name, needs, results)
    yield from _breaks_objective(name, needs, results)
    yield from against_in_faults(name, needs, results)


def _fits(name: str, limit_mb: float, needs: Needs, results: Sequence[Result]) -> bool:
    """Whether the broker stayed within the limit at a load heavier than the needed one."""
    sizes = _sizes(name, needs, results, ("heavier",))
    return bool(sizes) and max(size for size, _, _ in sizes) <= limit_mb


def _sizes(
    name: str, needs: Needs, results: Sequence[Result], relations: Sequence[str] = ("same", "lighter")
) -> list[tuple[float, int, Result]]:
    """The broker's memory at loads with these relations to the needed one, with run and directory."""
    found = [
        (row_of(run, number).main.broker_rss_mb, number, result)
        for result, runs in _loads(name, results)
        for number, run in runs
        if needs.relation(run.scenario) in relations
    ]
    return [(float(size), number, result) for size, number, result in found if size is not None]


def _too_large(name: str, needs: Needs, results: Sequence[Result]) -> Iterator[str]:
    sizes = _sizes(name, needs, results)
    if sizes and needs.memory_mb is not None:
        size, number, result = max(sizes, key=lambda item: item[0])
        if size > needs.memory_mb:
            yield f"broker_rss_mb {size} ({cite(result, number)})"


def _breaks_objective(name: str, needs: Needs, results: Sequence[Result]) -> Iterator[str]:
    """The conditions broken by every round at the needed or a lighter load, unless a heavier load met the objective."""
    objective = needs.objective()
    if objective is None:
        return
    for result, runs in _loads(name, results):
        scenario = runs[0][1].scenario
        relation = needs.relation(scenario)
        weightier = {"same": ("same",), "lighter": ("same", "heavier")}.get(relation)
        if weightier is None or _holds(name, objective, needs, results, weightier):
            continue
        for condition in objective.conditions:
            if all(condition.broken_by(run) for _, run in runs):
                number, run = runs[(len(runs) - 1) // 2]
                figure = _figures(row_of(run, number), condition.figure)
                times = "in its only run" if len(runs) == 1 else f"in all {len(runs)} rounds"
                yield f"breaks {condition} on {workload(scenario)} {times}: {figure} ({cite(result, number)})"


def _holds(name: str, objective: Slo, needs: Needs, results: Sequence[Result], relations: Sequence[str]) -> bool:
    """Whether some load with one of these relations to the needed one met the objective in every round."""
    return any(
        needs.relation(runs[0][1].scenario) in relations and not any(objective.broken_by(run) for _, run in runs)
        for _, runs in _loads(name, results)
    )


def _figures(row: SummaryRow, figure: str) -> str:
    cells = row.cells()
    if figure in cells:
        return f"{figure} {cells[figure]} of expected {row.main.expected}"
    return f"{figure}_ms {cells[f'{figure}_ms']}"


def _load(scenario: Scenario) -> tuple[object, ...]:
    size = (scenario.clients, scenario.replicas, scenario.rate_hz, scenario.payload_bytes)
    shape = (scenario.topics, scenario.topic_order, scenario.topic_skew, scenario.schedule, scenario.burst_events)
    return (*size, *shape, scenario.stamp, scenario.sessions)


def _loads(name: str, results: Sequence[Result]) -> Iterator[tuple[Result, list[tuple[int, Run]]]]:
    """A contender's valid runs without faults, grouped by directory and load."""
    for result in results:
        by_load: dict[tuple[object, ...], list[tuple[int, Run]]] = {}
        for number, run in result.runs_of(name):
            if not is_fault_run(run):
                by_load.setdefault(_load(run.scenario), []).append((number, run))
        for runs in by_load.values():
            yield result, runs


def objective_not_measured(name: str, needs: Needs, results: Sequence[Result]) -> bool:
    """Whether no run shows if the contender meets the objective at the needed load."""
    objective = needs.objective()
    if objective is None or _holds(name, objective, needs, results, ("same", "heavier")):
        return False
    return not any(needs.relation(runs[0][1].scenario) == "same" for _, runs in _loads(name, results))


def doubts(name: str, needs: Needs, results: Sequence[Result]) -> list[str]:
    """Findings that are neither clearly for nor clearly against a contender."""
    said = []
    objective = needs.objective()
    if objective is not None:
        for result, runs in _loads(name, results):
            broken = [number for number, run in runs if objective.broken_by(run)]
            if broken and needs.relation(runs[0][1].scenario) == "same":
                said.append(f"breaks {objective} in {len(broken)} of {len(runs)} rounds ({cite(result, broken[0])})")
    if (
        needs.memory_mb is not None
        and not _sizes(name, needs, results)
        and not _fits(name, needs.memory_mb, needs, results)
    ):
        said.append("its broker's memory was not measured on such a load")
    if needs.memory_mb is not None and needs.nodes > 1 and _sizes(name, needs, results):
        said.append("its memory was measured as one process, not as a cluster")
    if needs.replay and replays(name) is None:
        said.append("whether it can replay is unknown here: its adapter is not installed")
    return said


def largest(name: str, needs: Needs, base: Result, results: Sequence[Result]) -> list[str]:
    """Its run with the most clients, if more are needed than `base` has and another result has more."""
    measured = base.comparison.scenario.clients
    if needs.clients is None or needs.clients <= measured:
        return []
    runs = [
        (run.scenario.clients, number, run, result)
        for result, found in _loads(name, results)
        for number, run in found
        if needs.has_shape_of(run.scenario) and measured < run.scenario.clients <= needs.clients
    ]
    if not runs:
        return []
    _, number, run, result = max(runs, key=lambda found: (found[0], found[1]))
    cell = row_of(run, number).cells()[COMPARED_BY]
    return [f"the largest measured load is {workload(run.scenario)}: {COMPARED_BY} {cell} ({cite(result, number)})"]


def span(result: Result, name: str) -> str:
    """The median round's p99 and its range over rounds, as in summary.csv."""
    cells = [
        (float(cell), n)
        for n, run in result.ranked_of(name)
        if (cell := row_of(run, n).cells()[COMPARED_BY]) is not None
    ]
    if not cells:
        return f"{COMPARED_BY} was not measured"
    cells.sort()
    middle, number = cells[(len(cells) - 1) // 2]
    over = f", {cells[0][0]} to {cells[-1][0]} over {len(cells)} rounds" if len(cells) > 1 else ""
    return f"{COMPARED_BY} {middle} ({cite(result, number)}){over}"


def lost_here(result: Result, name: str) -> list[str]:
    """Its run of a comparison with the most losses, although nothing was broken; empty if it lost nothing."""
    lost = [(run.lost, number, run.expected) for number, run in result.ranked_of(name) if run.lost]
    if not lost:
        return []
    most, number, expected = max(lost)
    return [f"lost {most} of {expected} though nothing broke ({cite(result, number)})"]


def replays(name: str) -> bool | None:
    """Whether the contender's adapter declares replay; None for an unknown one."""
    contender = declared(name)
    adapter = installed().serving((contender.url if contender else name).partition("://")[0])
    return None if adapter is None else adapter.replay
