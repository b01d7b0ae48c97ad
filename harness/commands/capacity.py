"""`fanbench capacity`: the largest load that a contender holds under a service-level objective."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from brokers.programs.catalogue import Launch
from core.scenario import Scenario
from harness.analysis.slo import Slo
from harness.analysis.standings import percentile_band
from harness.analysis.verdict import ms
from harness.capacity.capacity_runs import Axis, CapacityRuns, PermanentFailureError
from harness.capacity.search import Search, SearchAnswer, SearchBounds
from harness.results.files import Capacity, CapacityPoint
from harness.results.run_record import LATENCY, Run
from harness.runner.host import most_clients, raise_descriptor_limit
from harness.schedule.jobs import choose_contenders, start_results

_MOST: dict[Axis, int] = {"clients": 10**6, "rate": 100_000, "replicas": 16, "topics": 10_000}


def bounds(scenario: Scenario, axis: Axis) -> SearchBounds:
    """Where the search looks: from the scenario's own clients or rate, or from one replica or topic."""
    starts: dict[Axis, int] = {"clients": scenario.clients, "rate": int(scenario.rate_hz), "replicas": 1, "topics": 1}
    most = min(_MOST[axis], most_clients(scenario.replicas)) if axis == "clients" else _MOST[axis]
    return SearchBounds(start=starts[axis], least=1, most=most)


def capacity_command(
    name: str,
    axis: Axis,
    slo: Slo,
    scenario: Scenario,
    out: Path,
    json_answer: bool,
    within_s: float,
    launch: Launch = "auto",
) -> int:
    """The command. Exit code 0 with a confirmed answer, 1 without one."""
    (contender,) = choose_contenders([name], every=False, launch=launch)

    from harness.report.page import write_report  # matplotlib takes half a second to import

    raise_descriptor_limit()
    results = start_results(out, f"capacity-{contender.file_name}-{axis}", scenario, [contender])
    probes = CapacityRuns(contender, scenario, axis, slo, results, within_s)
    search = Search(probes.holds, bounds(scenario, axis), probes.affords)
    complete = False
    try:
        search.run()
        complete = True
    except PermanentFailureError as error:
        search.answer.note = str(error)
        complete = True
    except KeyboardInterrupt:
        search.answer.note = "interrupted"
        probes.console.print("interrupted: the finished runs are kept")
    finally:
        found = as_found(contender.name, axis, slo, search.answer, probes.points, probes.runs)
        sentence = in_words(found)
        folder = results.finish(complete=complete, verdict=[sentence])
    (folder / "capacity.json").write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    page = write_report(folder)
    if json_answer:
        print(json.dumps(found.model_dump() | {"folder": str(folder)}))
    else:
        _show(found, sentence, page)
    return 0 if found.confirmed else 1


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
        points=list(points),
    )


def in_words(found: Capacity) -> str:
    """The answer as one sentence: what holds with its interval, where it breaks, and what broke first."""
    if found.held is None:
        why = next((f"; {point.why}" for point in reversed(found.points) if point.why), "")
        return (
            f"{found.contender}: no load was found that holds {found.slo}: {found.note or 'nothing was measured'}{why}"
        )
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
    """Where it breaks and what broke first; of a load that no run could judge, that."""
    assert found.broke is not None
    at_break = [point for point in found.points if point.load == found.broke and not point.held]
    first = next((point for point in at_break if point.judged), None)
    if first is None:
        return f"{found.broke:,}: {at_break[0].why}" if at_break else f"{found.broke:,} was not measured"
    return f"{found.broke:,} {_times(found, found.broke, 'broke')}, first: {first.why}"


def _show(found: Capacity, sentence: str, page: Path) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in (found.vary, "held", "p99 ms", "lost", "what broke"):
        table.add_column(heading, justify="left" if heading == "what broke" else "right")
    for point in sorted(found.points, key=lambda point: (point.load, point.held)):
        held = "yes" if point.held else "no" if point.judged else "not judged"
        table.add_row(f"{point.load:,}", held, f"{point.p99_ms:.1f}", f"{point.lost:,}", escape(point.why))
    console = Console()
    console.print(table)
    console.print(sentence, highlight=False, markup=False)
    console.print(f"report: {page}", highlight=False, markup=False, soft_wrap=True)
