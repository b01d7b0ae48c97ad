"""`fanbench capacity`: the largest load at which a contender, or one of each program, meets an objective."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from brokers.contender import Contender
from brokers.programs.catalogue import Launch
from core.contracts.capacity import Axis, Capacity
from core.errors import UsageError
from core.scenario import Scenario
from harness.analysis.capacity_answers import in_words
from harness.analysis.slo import Slo
from harness.capacity.capacity_runs import CapacityRuns, PermanentFailureError
from harness.capacity.findings import as_found, bounds
from harness.capacity.search import Search
from harness.results.run_record import Comparison
from harness.results.store import store_capacity
from harness.runner.contenders import choose_contenders
from harness.runner.deployment import Deployment
from harness.runner.fitting import fitting
from harness.runner.host import raise_descriptor_limit
from harness.schedule.jobs import start_results


def capacity_command(
    name: str | None,
    axis: Axis,
    slo: Slo,
    scenario: Scenario,
    out: Path,
    json_answer: bool,
    within_s: float,
    launch: Launch = "auto",
    deployment: Deployment | None = None,
) -> int:
    """Run the command for one contender or, without a name, for the floor and one contender of each program in turn.

    The exit code is 0 if each has a confirmed answer, otherwise 1. Several searches share a directory, with a page over all.
    """
    if deployment is not None and axis == "replicas":
        raise UsageError(
            "--vary replicas: --replicas-at names existing replicas, and fanbench starts none there; vary clients, "
            "rate or topics"
        )
    if axis == "topics" and scenario.generator_processes > 1:
        raise UsageError(
            f"--generator-processes {scenario.generator_processes}: --vary topics begins with one topic, whose events one process "
            "publishes; leave it out, or vary clients, rate or replicas"
        )
    if axis == "topics" and deployment is not None and deployment.generators > 1:
        raise UsageError(
            f"--generators-expected {deployment.generators}: --vary topics begins with one topic, whose events one generator "
            "publishes; expect one, or vary clients or rate"
        )
    if scenario.sessions and axis != "replicas":
        raise UsageError(
            f"--vary {axis}: with the sessions of scenario '{scenario.name}' it follows from topic_arrivals_hz; vary replicas, or "
            "choose a scenario with permanent topics"
        )
    contenders = choose_contenders([name] if name else [], every=False, launch=launch, deployment=deployment)
    contenders, left_out = fitting(contenders, scenario, named=name is not None)

    from harness.report.page import build_report, write_report  # matplotlib takes half a second to import

    raise_descriptor_limit()
    for sentence in left_out:
        Console(stderr=json_answer).print(sentence, highlight=False, markup=False)
    if name is None:
        out = out / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-capacity-{axis}-all"
    told, confirmed, page = [], 0, ""
    for contender in contenders:
        folder, comparison, found = _search(contender, axis, slo, scenario, out, within_s, deployment)
        page = str(write_report(folder, comparison, found).page)
        told.append(found.model_dump() | {"folder": str(folder)})
        confirmed += found.confirmed
        if not json_answer:
            _show(found, in_words(found))
        if not comparison.complete:
            break
    if len(told) > 1:
        page = build_report([out], markdown=False)
    if json_answer:
        print(json.dumps(told[0] if name else {"folder": str(out), "report": page, "searches": told}))
    else:
        Console().print(f"report: {page}", highlight=False, markup=False, soft_wrap=True)
    return 0 if confirmed == len(contenders) else 1


def _search(
    contender: Contender,
    axis: Axis,
    slo: Slo,
    scenario: Scenario,
    out: Path,
    within_s: float,
    deployment: Deployment | None,
) -> tuple[Path, Comparison, Capacity]:
    """One stored search: its directory, its runs and its answer. Ctrl-C leaves an incomplete one."""
    results = start_results(out, f"capacity-{contender.file_name}-{axis}", scenario, [contender])
    probes = CapacityRuns(contender, scenario, axis, slo, results, within_s, deployment)
    probes.console.print(f"[bold]{escape(contender.name)}[/]: {axis} until {escape(str(slo))} breaks", highlight=False)
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
        folder = results.finish(complete=complete, verdict=[in_words(found)])
    store_capacity(folder, found)
    return folder, results.comparison, found


def _show(found: Capacity, sentence: str) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in (found.vary, "held", "p99 ms", "lost", "what broke"):
        table.add_column(heading, justify="left" if heading == "what broke" else "right")
    for point in sorted(found.points, key=lambda point: (point.load, point.held)):
        broke = "harness" if point.by_harness else "no"
        held = "yes" if point.held else broke if point.judged else "not judged"
        table.add_row(f"{point.load:,}", held, f"{point.p99_ms:.1f}", f"{point.lost:,}", escape(point.why))
    console = Console()
    console.print(table)
    console.print(sentence, highlight=False, markup=False)
