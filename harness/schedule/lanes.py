"""Does runs at the same time in lanes: each is a process with its own clusters, programs and part of the jobs.

A run that breaks a cluster mostly waits: for an election, a node's return or the clients. Its programs use a third
of a core, so two runs fit on two cores. docs/decisions/0020 has the measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from rich.console import Console

from core.errors import TransientError
from core.process import OWN_PYTHON, Child, spawn
from harness.results.run_record import Run
from harness.results.store import ResultFolder
from harness.runner.run import failed_run
from harness.schedule.attempts import Board, FirstRound, log_folder, progress_on
from harness.schedule.lane import LaneAnswer, LaneOrder, LanePhase
from harness.schedule.retry_queue import Job, RetryQueue

END_S = 8.0
"""Time for a lane to stop its programs and clusters."""
Key = tuple[str | None, tuple[tuple[str, int], ...], bool]


def cluster_of(job: Job) -> Key:
    """The cluster that a job needs: its program, its settings, and whether its nodes have separate networks."""
    apart = any(fault.of_links for fault in job.scenario.faults)
    return job.contender.program, tuple(job.contender.settings.items()), apart


def seconds(jobs: Sequence[Job]) -> float:
    """The approximate duration of these jobs, one after the other."""
    return sum(job.scenario.broken_run_s(*job.scenario.faults) for job in jobs)


def split(jobs: Sequence[Job], lanes: int) -> list[list[Job]]:
    """Split jobs into lanes of about the same duration; each lane keeps their order.

    Jobs that need the same cluster share it in one lane, so there may be fewer lanes.
    """
    parts: dict[Key, list[Job]] = {}
    for job in jobs:
        parts.setdefault(cluster_of(job), []).append(job)
    lane_of: dict[Key, int] = {}
    filled_s = [0.0] * min(lanes, len(parts))
    for key, part in sorted(parts.items(), key=lambda entry: -seconds(entry[1])):
        lane_of[key] = filled_s.index(min(filled_s))
        filled_s[lane_of[key]] += seconds(part)
    return [[job for job in jobs if lane_of[cluster_of(job)] == lane] for lane in range(len(filled_s))]


@dataclass(slots=True)
class LaneProcess:
    """A lane, seen from the process that started it."""

    number: int
    board: Board
    results: ResultFolder
    child: Child = field(init=False)
    line: Connection[LaneOrder | None, LaneAnswer] = field(init=False)
    job: Job | None = None
    """The current job."""

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start the lane's process."""
        self.line, theirs = Pipe()
        with theirs:
            command = [*OWN_PYTHON, "-m", "harness.schedule.lane", str(theirs.fileno())]
            self.child = spawn(
                f"lane {self.number}",
                [*command, self.results.logs / f"clusters-{self.number}"],
                self.results.logs / f"lane-{self.number}.log",
                starts_more=True,
                pass_fds=[theirs.fileno()],
            )

    def give_next(self) -> None:
        """Send the next job. Without one, tell the lane to stop its clusters and exit."""
        self.job = self.board.queue.next()
        try:
            self.line.send(None if self.job is None else LaneOrder(self.job, log_folder(self.results, self.job)))
        except BrokenPipeError:  # the lane has ended; the next answer shows it
            return

    def answer(self) -> Run | None:
        """Receive the next answer: a finished run, or None for a phase.

        If the lane's process has ended, return a refused run and start another process.
        """
        assert self.job is not None
        try:
            told = self.line.recv()
        except (EOFError, OSError):
            return self._replaced()
        if isinstance(told, LanePhase):
            self.board.say(self.job, told.words)
            return None
        run: Run = told
        return run

    def _replaced(self) -> Run:
        assert self.job is not None
        self.child.wait(END_S)
        self.child.stop()
        error = TransientError(
            f"lane {self.number} ended with exit code {self.child.returncode}; {self.child.last_words()}"
        )
        self.line.close()
        self.start()
        return failed_run(self.job.contender, self.job.scenario, self.job.round, error)


@contextmanager
def started_lanes(boards: Sequence[Board], results: ResultFolder) -> Iterator[list[LaneProcess]]:
    """Start a lane for each board. Leaving stops their runs, clusters and processes."""
    lanes: list[LaneProcess] = []
    try:
        for number, board in enumerate(boards, 1):
            lanes.append(LaneProcess(number, board, results))
        yield lanes
        for lane in lanes:  # each knows that there are no more jobs
            lane.child.wait(END_S)
    finally:
        for lane in lanes:
            lane.child.terminate()
        for lane in lanes:
            lane.child.stop(END_S)
            lane.line.close()


def run_in_lanes(
    parts: Sequence[Sequence[Job]],
    results: ResultFolder,
    console: Console,
    line: Callable[[Run], str],
    repeats: int,
) -> None:
    """Do every job, each part in its own lane; see harness.schedule.jobs.run_jobs.

    Raises:
        FanbenchError: the disk is full.
    """
    with progress_on(console) as progress:
        boards = [Board(RetryQueue(part, repeats), results, progress, line) for part in parts]
        first = FirstRound(max(job.round for part in parts for job in part), len(boards))
        with started_lanes(boards, results) as lanes:
            for lane in lanes:
                lane.give_next()
            while busy := {lane.line: lane for lane in lanes if lane.job is not None}:
                for ready in wait(list(busy)):
                    _take(busy[ready], first)  # type: ignore[index]


def _take(lane: LaneProcess, first: FirstRound) -> None:
    """Receive a lane's answer; after a finished run, send the next job."""
    job = lane.job
    run = lane.answer()
    if job is None or run is None:
        return
    lane.board.note(job, run)
    if job.round == 1 and lane.board.queue.round_over and (sentence := first.over()) is not None:
        lane.board.tell(sentence)
    lane.give_next()
