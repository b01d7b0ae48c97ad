"""`fanbench capacity`: the largest load that a contender holds under a service-level objective."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from brokers.programs.catalogue import Launch
from core.contracts.capacity import Axis, Capacity
from core.scenario import Scenario
from harness.analysis.slo import Slo
from harness.capacity.capacity_runs import CapacityRuns, PermanentFailureError
from harness.capacity.findings import as_found, bounds, in_words
from harness.capacity.search import Search
from harness.results.store import store_capacity
from harness.runner.contenders import choose_contenders
from harness.runner.host import raise_descriptor_limit
from harness.schedule.jobs import start_results


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
    store_capacity(folder, found)
    report = write_report(folder, results.comparison, found)
    if json_answer:
        print(json.dumps(found.model_dump() | {"folder": str(folder)}))
    else:
        _show(found, sentence, report.page)
    return 0 if found.confirmed else 1


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
