"""Runs a list of jobs one after the other with progress and stores each; Ctrl-C keeps the finished ones."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from brokers.contender import Contender
from brokers.endpoint import redact
from core.contracts.manifest import Stopping
from core.errors import FanbenchError
from core.scenario import Scenario
from harness.results.run_record import Comparison, Run
from harness.results.store import ResultFolder, open_results
from harness.runner.broker_pool import BrokerPool
from harness.runner.host import (
    describe_host,
    library_versions,
    own_version,
    raise_descriptor_limit,
    require_descriptors,
)
from harness.runner.run import Launched, Say, failed_run, run_once
from harness.schedule.retry_queue import REPEATS, Job, RetryQueue
from harness.schedule.stopping import UntilSettled


@dataclass(frozen=True, slots=True)
class FinishedJobs:
    """The comparison, complete if every run was done, and its directory."""

    folder: Path
    comparison: Comparison


def command_line() -> str:
    """The command that repeats this measurement, passwords hidden."""
    return shlex.join(["fanbench", *(redact(word) for word in sys.argv[1:])])


def start_results(
    out: Path, name: str, scenario: Scenario, contenders: Sequence[Contender], stopping: Stopping | None = None
) -> ResultFolder:
    """A new result directory with the scenario, the machine, and when the comparison may stop.

    Raises:
        UsageError: it cannot be made.
    """
    return open_results(
        out,
        name,
        scenario=scenario,
        command=command_line(),
        host=describe_host(),
        versions={c.program: c.program_version() for c in contenders if c.program},
        libraries=library_versions(),
        fanbench=own_version(),
        settings={contender.name: contender.settings for contender in contenders if contender.settings},
        stopping=stopping,
    )


def measure(job: Job, results: ResultFolder, say: Say, launched: Launched = Contender.launched) -> Run:
    """Do one run and store it; one that fails is stored as refused, with the reason.

    Raises:
        FanbenchError: the disk is full.
    """
    logs = results.logs / job.label.replace(" ", "-")
    try:
        run = run_once(
            job.contender, job.scenario, job.round, logs, say, job.transport, job.patience, launched, job.deployment
        )
    except FanbenchError as error:
        results.require_room()
        run = failed_run(job.contender, job.scenario, job.round, error)
    return results.add_run(replace(run, transport=job.transport))


def run_jobs(
    jobs: Sequence[Job],
    results: ResultFolder,
    console: Console,
    line: Callable[[Run], str],
    repeats: int = REPEATS,
    spare_rounds: int = 0,
    until: UntilSettled | None = None,
) -> FinishedJobs:
    """Do every job; `line` says what is printed of each run, `repeats` and `spare_rounds` what harness.schedule.retry_queue does of them.

    `until` ends the rounds before all are done.

    Ctrl-C ends the run in flight, stops its children and keeps the finished ones, marked incomplete. A run that
    fails is kept as refused, and the others continue.

    Raises:
        UsageError: a scenario does not fit this machine.
    """
    raise_descriptor_limit()
    complete = False
    try:
        for job in jobs:
            if job.deployment is None:  # elsewhere the workers themselves say when they cannot begin
                require_descriptors(job.scenario)
        _run_all(RetryQueue(jobs, repeats, spare_rounds), results, console, line, until)
        complete = True
    except KeyboardInterrupt:
        console.print("[yellow]interrupted: the finished runs are kept, marked incomplete[/]")
    finally:
        folder = results.finish(complete=complete)
    return FinishedJobs(folder, results.comparison)


def _run_all(
    queue: RetryQueue,
    results: ResultFolder,
    console: Console,
    line: Callable[[Run], str],
    until: UntilSettled | None,
) -> None:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with (
        BrokerPool(results.logs / "clusters") as pool,
        Progress(*columns, console=console, refresh_per_second=4) as progress,
    ):
        task = progress.add_task("starting", total=queue.total)
        while (job := queue.next()) is not None:

            def say(phase: str, label: str = job.label) -> None:
                progress.update(task, description=f"{label} · {phase}")

            run = measure(job, results, say, pool.broker)
            again = queue.done(job, run)
            progress.update(task, advance=1, total=queue.total)
            progress.console.print(line(run), highlight=False)
            if again:
                progress.console.print(
                    "    the machine may have disturbed it; it will be repeated at the end of its round"
                )
            elif run.permanent:
                progress.console.print("    another run would fail for the same reason, so similar runs are skipped")
            if until is not None and queue.round_over:
                last = until.ends(job.round, results.comparison)
                results.set_stopping(until.stopping)
                if job.round == 1:
                    progress.console.print(f"    {until.plan}", highlight=False)
                queue.end_rounds(after=0 if last else until.stopping.looks[-1])
                progress.update(task, total=queue.total)
