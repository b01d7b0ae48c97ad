"""`fanbench capacity`: the largest load that a contender holds under a service-level objective."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.agenda import Job
from bench.host import most_clients, raise_descriptor_limit
from bench.jobs import choose_contenders, measure, start_results
from bench.model import LATENCY, Run
from bench.search import Answer, Bounds, largest_that_holds
from bench.slo import Slo
from brokers.contenders import Contender
from brokers.programs.catalogue import Launch
from core.scenario import Scenario
from core.topics import topic_pattern

Axis = Literal["clients", "rate", "replicas", "topics"]

_LARGEST: dict[Axis, int] = {"clients": 10**6, "rate": 100_000, "replicas": 16, "topics": 10_000}
_START: dict[Axis, int] = {"clients": 500, "rate": 20, "replicas": 1, "topics": 1}


@dataclass(frozen=True, slots=True)
class Point:
    """One run of the search."""

    load: int
    held: bool
    p99_ms: float
    lost: int
    why: str
    """What broke: the objective, or the check that refused the run; empty when it held."""


def at_load(scenario: Scenario, axis: Axis, load: int) -> Scenario:
    """The scenario with `load` on the axis; clients connect fast enough that a point takes seconds."""
    changed: dict[Axis, dict[str, Any]] = {
        "clients": {"clients": load},
        "rate": {"rate_hz": float(load)},
        "replicas": {"replicas": load},
        "topics": {"topics": topic_pattern(load)},
    }
    raised = scenario.with_fields(**changed[axis])
    return raised.with_fields(connect_hz=max(raised.connect_hz, raised.clients / 2))


def judge(run: Run, slo: Slo, load: int) -> Point:
    """Whether the run is valid and meets the objective, and if not, what broke."""
    latency = run.histograms.get(LATENCY)
    p99_ms = latency.percentile_ms(99) if latency else 0.0
    why = "; ".join(run.problems) or slo.broken_by(run)
    return Point(load, not why, p99_ms, run.lost, why)


class _Measured:
    """The oracle of the search: each call is a run, kept with the others."""

    def __init__(self, contender: Contender, scenario: Scenario, axis: Axis, slo: Slo, out: Path) -> None:
        self._contender, self._scenario, self._axis, self._slo = contender, scenario, axis, slo
        self.results = start_results(out, f"capacity-{contender.file_name}-{axis}", scenario, [contender])
        self.points: list[Point] = []
        self.console = Console(stderr=True)

    def holds(self, load: int) -> bool:
        number = len(self.points) + 1
        scenario = at_load(self._scenario, self._axis, load)
        job = Job(self._contender, scenario, number, f"run {number} {self._contender.file_name}")
        run = measure(job, self.results, lambda _phase: None)
        point = judge(run, self._slo, load)
        self.points.append(point)
        verdict = "holds" if point.held else f"breaks: {point.why}"
        self.console.print(
            escape(f"  run {number}: {load:,} {self._axis}, p99 {point.p99_ms:.1f} ms, lost {point.lost}: {verdict}"),
            highlight=False,
        )
        return point.held


def capacity_command(
    name: str, axis: Axis, slo: Slo, scenario: Scenario, out: Path, json_answer: bool, launch: Launch = "auto"
) -> int:
    """The command. Exit code 0 with a confirmed answer, 1 without one."""
    from bench.report import write_report  # matplotlib takes half a second to import

    (contender,) = choose_contenders([name], every=False, launch=launch)
    raise_descriptor_limit()
    most = min(_LARGEST[axis], most_clients(scenario.replicas)) if axis == "clients" else _LARGEST[axis]
    measured = _Measured(contender, scenario, axis, slo, out)
    answer, complete = Answer(note="interrupted"), False
    try:
        answer = largest_that_holds(measured.holds, Bounds(start=_START[axis], least=1, most=most))
        complete = True
    except KeyboardInterrupt:
        measured.console.print("interrupted: the finished runs are kept")
    finally:
        sentence = in_words(contender.name, axis, slo, answer, measured.points)
        folder = measured.results.finish(complete=complete, verdict=[sentence])
    record = {
        "contender": contender.name,
        "vary": axis,
        "slo": str(slo),
        "held": answer.held,
        "broke": answer.broke,
        "confirmed": answer.confirmed,
        "note": answer.note,
        "points": [asdict(point) for point in measured.points],
    }
    (folder / "capacity.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    page = write_report(folder)
    if json_answer:
        print(json.dumps(record | {"folder": str(folder)}))
    else:
        _show(measured, sentence, page)
    return 0 if answer.confirmed else 1


def in_words(name: str, axis: Axis, slo: Slo, answer: Answer, points: list[Point]) -> str:
    """The answer as one sentence, with what broke first above it."""
    if answer.held is None:
        reason = f"; {points[-1].why}" if points else ""
        return f"{name}: no load holds {slo}: {answer.note or 'not found'}{reason}"
    head = f"{name} holds {slo} up to {answer.held:,} {axis}"
    if answer.broke is None:
        return f"{head}: {answer.note}"
    first = next((point.why for point in points if point.load == answer.broke and not point.held), "")
    sure = "confirmed in separate runs" if answer.confirmed else answer.note
    return f"{head}, and breaks at {answer.broke:,} ({sure}); what broke first: {first}"


def _show(measured: _Measured, sentence: str, page: Path) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in (measured._axis, "held", "p99 ms", "lost", "what broke"):
        table.add_column(heading, justify="left" if heading == "what broke" else "right")
    for point in sorted(measured.points, key=lambda point: (point.load, point.held)):
        held = "yes" if point.held else "no"
        table.add_row(f"{point.load:,}", held, f"{point.p99_ms:.1f}", f"{point.lost:,}", escape(point.why))
    console = Console()
    console.print(table)
    console.print(sentence, highlight=False, markup=False)
    console.print(f"report: {page}", highlight=False, markup=False, soft_wrap=True)
