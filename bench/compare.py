"""`fanbench compare`: interleaved rounds of every contender, stored run by run."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench.gate import Gate, in_words
from bench.host import describe_host, library_versions, raise_descriptor_limit, require_descriptors
from bench.matrix import distinct_names, shuffled_rounds
from bench.model import Run
from bench.run import Say, failed_run, run_once
from bench.store import ResultFolder, load_results, open_results
from brokers.contenders import Contender, all_contenders, find_contender
from brokers.endpoint import redact
from brokers.registry import open_endpoint
from core.errors import FanbenchError, UsageError
from core.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where the results are, and whether every run was done."""

    folder: Path
    complete: bool


def compare(contenders: Sequence[Contender], scenario: Scenario, out: Path, command: str, console: Console) -> Outcome:
    """Run every contender in every round and store each run as it ends.

    Ctrl-C ends the run under way, stops its children and keeps the finished ones, marked incomplete. A run that
    fails is kept as refused, and the others go on.

    Raises:
        UsageError: the scenario does not fit this machine, or `out` cannot be written.
    """
    require_descriptors(scenario)
    raise_descriptor_limit()
    names = distinct_names([contender.name for contender in contenders])
    named = [replace(contender, name=name) for contender, name in zip(contenders, names, strict=True)]
    results = start_results(out, scenario.name, scenario, named, command)
    complete = False
    try:
        _run_all(named, scenario, results, console)
        complete = True
    except KeyboardInterrupt:
        console.print("[yellow]interrupted: the finished runs are kept, marked incomplete[/]")
    finally:
        folder = results.finish(complete=complete)
    return Outcome(folder, complete)


def command_line() -> str:
    """The command that repeats this measurement, passwords hidden."""
    return shlex.join(["fanbench", *(redact(word) for word in sys.argv[1:])])


def start_results(
    out: Path, name: str, scenario: Scenario, contenders: Sequence[Contender], command: str
) -> ResultFolder:
    """A new result directory that says what runs on what.

    Raises:
        UsageError: it cannot be made.
    """
    versions = library_versions() | {c.program: c.program_version() for c in contenders if c.program}
    return open_results(out, name, scenario=scenario, command=command, host=describe_host(), versions=versions)


def measure(contender: Contender, scenario: Scenario, number: int, results: ResultFolder, say: Say) -> Run:
    """Do one run and store it; one that fails is stored as refused, with the reason."""
    try:
        run = run_once(contender, scenario, number, results.logs / f"{number}-{contender.file_name}", say)
    except FanbenchError as error:
        run = failed_run(contender, scenario, number, error)
    results.add_run(run)
    return run


def _run_all(contenders: Sequence[Contender], scenario: Scenario, results: ResultFolder, console: Console) -> None:
    slots = shuffled_rounds(len(contenders), scenario.rounds, scenario.seed)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        task = progress.add_task("starting", total=len(slots))
        for slot in slots:
            contender = contenders[slot.place]
            label = f"round {slot.round} of {scenario.rounds} · {contender.name}"

            def say(phase: str, label: str = label) -> None:
                progress.update(task, description=f"{label} · {phase}")

            run = measure(contender, scenario, slot.round, results, say)
            progress.advance(task)
            progress.console.print(_line(run), highlight=False)


def _line(run: Run) -> str:
    head = f"  round {run.round} {escape(run.contender)}: "
    refused = f" [red]refused[/]: {escape(run.problems[0])}" if run.problems else ""
    if not run.delivered:
        return head + (refused or "nothing delivered")
    latency = run.histograms["latency"]
    figures = (
        f"{run.delivered:,} delivered, {run.lost:,} lost, "
        f"p50 {latency.percentile_ms(50):.1f} ms, p99 {latency.percentile_ms(99):.1f} ms"
    )
    return head + figures + refused


def choose_contenders(names: Sequence[str], every: bool) -> list[Contender]:
    """The named contenders; without names all that can run here (`every`), or the floor and one of each program.

    Raises:
        UsageError: a name is unknown, its program is not installed, or the broker at a URL does not answer.
    """
    if names:
        chosen = [find_contender(name) for name in names]
        for contender in chosen:
            contender.require_runnable()
            if contender.program is None:
                _require_answer(contender)
        return chosen
    return [c for c in all_contenders() if (every or c.primary) and c.runnable]


def _require_answer(contender: Contender) -> None:
    """Connect once to a running broker, so that a wrong address or password is told before anything is measured."""

    async def connect() -> None:
        adapter, endpoint = open_endpoint(contender.url, contender.delivery)
        async with adapter.producer(endpoint):
            pass

    try:
        asyncio.run(connect())
    except FanbenchError as error:
        raise UsageError(str(error)) from error


def compare_command(
    names: Sequence[str],
    every: bool,
    scenario: Scenario,
    out: Path,
    json_answer: bool,
    gated: tuple[Path, str] | None = None,
) -> int:
    """The command: compare, write the report, print the table. Returns the exit code.

    `gated` is a baseline directory and rules such as `p99_ms>+15%`. Exit code 0 when every run is valid, 1 when one
    was refused, the comparison was interrupted, or the gate failed.
    """
    from bench.report import terminal_table, write_report  # matplotlib takes half a second to import

    contenders = choose_contenders(names, every)
    distinct = distinct_names([contender.name for contender in contenders])
    gate = Gate.open(*gated, scenario, distinct) if gated else None
    console = Console(stderr=json_answer)
    seconds = scenario.rounds * len(contenders) * (scenario.warmup_s + scenario.duration_s + 5)
    console.print(
        f"[bold]{escape(scenario.name)}[/]: {scenario.clients} clients on {scenario.replicas} replicas, "
        f"{scenario.rate_hz:g} events/s, {scenario.rounds} rounds of {len(contenders)} contenders "
        f"({escape(', '.join(c.name for c in contenders))}), about {max(1, round(seconds / 60))} min",
        highlight=False,
    )
    outcome = compare(contenders, scenario, out, command_line(), console)
    page = write_report(outcome.folder)
    comparison = load_results(outcome.folder)
    console.print(terminal_table(comparison))
    for sentence in comparison.verdict:
        console.print(sentence, highlight=False, markup=False)
    console.print(f"report: {page}", highlight=False, markup=False, soft_wrap=True)
    findings = gate.check(comparison) if gate else []
    if gate:
        console.print(in_words(findings), highlight=False, markup=False)
    if json_answer:
        answer = {"folder": str(outcome.folder), "report": str(page), "complete": outcome.complete}
        answer |= {"runs": [run_json(run) for run in comparison.runs], "gate": [asdict(found) for found in findings]}
        print(json.dumps(answer))
    held = outcome.complete and all(run.valid for run in comparison.runs) and not any(f.failed for f in findings)
    return 0 if held else 1


def run_json(run: Run) -> dict[str, object]:
    """A run's main figures for a program that reads `--json`."""
    latency = run.histograms.get("latency")
    return {
        "contender": run.contender,
        "round": run.round,
        "expected": run.expected,
        "delivered": run.delivered,
        "lost": run.lost,
        "latency_ms": latency.summary_ms() if latency else {},
        "valid": run.valid,
        "problems": list(run.problems),
    }
