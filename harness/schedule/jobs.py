"""Runs jobs one by one or in lanes, shows progress and stores each run; Ctrl-C keeps the finished ones."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from brokers.contender import Contender
from brokers.endpoint import redact
from core.contracts.manifest import Stopping
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
from harness.runner.run import Launched, Say
from harness.schedule.attempts import Board, attempt, log_folder, progress_on, store
from harness.schedule.lanes import run_in_lanes, split
from harness.schedule.retry_queue import REPEATS, Job, RetryQueue
from harness.schedule.stopping import UntilSettled


@dataclass(frozen=True, slots=True)
class FinishedJobs:
    """The comparison and its directory; it is complete if every run was done."""

    folder: Path
    comparison: Comparison


def command_line() -> str:
    """The command that repeats this measurement, with passwords hidden."""
    return shlex.join(["fanbench", *(redact(word) for word in sys.argv[1:])])


def start_results(
    out: Path,
    name: str,
    scenario: Scenario,
    contenders: Sequence[Contender],
    stopping: Stopping | None = None,
    lanes: int = 1,
) -> ResultFolder:
    """Make a result directory with the scenario, the machine, the stopping rule and the number of lanes.

    Raises:
        UsageError: the directory cannot be made.
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
        lanes=lanes,
    )


def measure(job: Job, results: ResultFolder, say: Say, launched: Launched = Contender.launched) -> Run:
    """Do one run and store it; a failed run is stored as refused, with the reason.

    Raises:
        FanbenchError: the disk is full.
    """
    return store(attempt(job, log_folder(results, job), say, launched), results)


def run_jobs(
    jobs: Sequence[Job],
    results: ResultFolder,
    console: Console,
    line: Callable[[Run], str],
    repeats: int = REPEATS,
    spare_rounds: int = 0,
    until: UntilSettled | None = None,
    lanes: int = 1,
) -> FinishedJobs:
    """Do every job. `line` returns the printed line of a run; harness.schedule.retry_queue explains `repeats` and `spare_rounds`.

    `until` may end the rounds early. With several `lanes`, jobs run at the same time, without `until` and spare rounds.

    Ctrl-C ends the current run, stops its children and keeps the finished runs, marked incomplete. A run that
    fails is kept as refused, and the others continue.

    Raises:
        UsageError: a scenario does not fit this machine.
    """
    raise_descriptor_limit()
    complete = False
    try:
        for job in jobs:
            if job.deployment is None:  # in a deployment, the workers report themselves if they cannot begin
                require_descriptors(job.scenario)
        if lanes > 1:
            run_in_lanes(split(jobs, lanes), results, console, line, repeats)
        else:
            _run_all(RetryQueue(jobs, repeats, spare_rounds), results, console, line, until)
        complete = True
    except KeyboardInterrupt as interrupted:
        console.print("[yellow]interrupted: the finished runs are kept, marked incomplete[/]")
        if str(interrupted):  # something stays broken in the user's deployment
            console.print(escape(str(interrupted)), highlight=False)
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
    with BrokerPool(results.logs / "clusters") as pool, progress_on(console) as progress:
        board = Board(queue, results, progress, line)
        while (job := queue.next()) is not None:
            board.note(job, attempt(job, log_folder(results, job), partial(board.say, job), pool.broker))
            if until is not None and queue.round_over:
                last = until.ends(job.round, results.comparison)
                results.set_stopping(until.stopping)
                if job.round == 1:
                    board.tell(f"    {until.plan}")
                queue.end_rounds(after=0 if last else until.stopping.looks[-1])
                board.show_total()
