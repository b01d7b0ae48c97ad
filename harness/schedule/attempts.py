"""One attempt at a run, and how it is stored and shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from brokers.contender import Contender
from core.errors import FanbenchError
from harness.results.run_record import Run
from harness.results.store import ResultFolder
from harness.runner.run import Launched, Say, failed_run, run_once
from harness.schedule.retry_queue import Job, RetryQueue


def log_folder(results: ResultFolder, job: Job) -> Path:
    """The folder for the logs of a run's programs."""
    return results.logs / job.label.replace(" ", "-")


def attempt(job: Job, logs: Path, say: Say, launched: Launched = Contender.launched) -> Run:
    """Do one run; if it fails, return a refused run with the reason."""
    try:
        run = run_once(
            job.contender, job.scenario, job.round, logs, say, job.transport, job.patience, launched, job.deployment
        )
    except FanbenchError as error:
        run = failed_run(job.contender, job.scenario, job.round, error)
    return replace(run, transport=job.transport)


def store(run: Run, results: ResultFolder) -> Run:
    """Store a run, and return it as stored.

    Raises:
        FanbenchError: the disk is full.
    """
    if run.problems:
        results.require_room()
    return results.add_run(run)


def progress_on(console: Console) -> Progress:
    """The progress display: a line for each lane, with its current run and the number of finished runs."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        refresh_per_second=4,
    )


@dataclass(slots=True)
class Board:
    """Stores and shows the runs of one queue."""

    queue: RetryQueue
    results: ResultFolder
    progress: Progress
    line: Callable[[Run], str]
    """Returns the printed line of a run."""
    task: TaskID = field(init=False)

    def __post_init__(self) -> None:
        self.task = self.progress.add_task("starting", total=self.queue.total)

    def say(self, job: Job, phase: str) -> None:
        """Show the current phase of the run."""
        self.progress.update(self.task, description=f"{job.label} · {phase}")

    def note(self, job: Job, attempted: Run) -> Run:
        """Store a run, print it and report it to the queue; return it as stored.

        Raises:
            FanbenchError: the disk is full.
        """
        run = store(attempted, self.results)
        again = self.queue.done(job, run)
        self.progress.update(self.task, advance=1, total=self.queue.total)
        self.tell(self.line(run))
        if again:
            self.tell("    the machine may have disturbed it; it will be repeated at the end of its round")
        elif run.permanent:
            self.tell("    another run would fail for the same reason, so similar runs are skipped")
        return run

    def tell(self, sentence: str) -> None:
        """Print a line above the progress display."""
        self.progress.console.print(sentence, highlight=False)

    def show_total(self) -> None:
        """Update the number of runs after the queue was shortened."""
        self.progress.update(self.task, total=self.queue.total)


class FirstRound:
    """Estimates the total time after the first of several rounds."""

    def __init__(self, rounds: int, boards: int) -> None:
        self._rounds = rounds
        self._open = boards
        """The queues that are still in their first round."""
        self._began_s = time.monotonic()

    def over(self) -> str | None:
        """Call this when a queue finishes its first round; returns the estimate when all have finished it."""
        self._open -= 1
        if self._open or self._rounds < 2:
            return None
        minutes = (time.monotonic() - self._began_s) / 60
        return (
            f"    the first round took {minutes:.1f} min: about {minutes * self._rounds:.0f} min for all {self._rounds}"
        )
