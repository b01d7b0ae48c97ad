"""Decides which run is next: rounds, repeats of disturbed runs, and spare rounds if some stayed refused."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from brokers.contender import Contender
from core.scenario import Scenario
from harness.results.run_record import Run
from harness.runner.deployment import Deployment
from harness.runner.run import USUAL_PATIENCE, Patience

REPEATS = 3
"""How often a disturbed run is repeated. Refused attempts stay in the result."""
SPARE_ROUNDS = 3
"""The maximum number of rounds added to replace those in which a contender has no valid run."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run to do."""

    contender: Contender
    scenario: Scenario
    round: int
    label: str
    """Its name in the progress display and the log folder."""
    transport: str = "sse"
    patience: Patience = USUAL_PATIENCE
    deployment: Deployment | None = None
    """The user's replicas and load workers; None if fanbench starts its own."""


Key = tuple[str, str, str]


def _key(job: Job) -> Key:
    return (job.contender.name, job.transport, repr(job.scenario.faults))


def _kind(job: Job) -> tuple[str, str]:
    """The key of jobs that fail for the same permanent reason, whatever their round, their phases and their faults."""
    return (job.contender.name, job.transport)


class RetryQueue:
    """Returns jobs with `next`; `done` takes the result of each.

    A disturbed run is repeated at the end of its round, at most `repeats` times. With `spare_rounds`, whole rounds are
    then added until every viable contender has the wanted number of valid rounds in common with the others, because
    differences are paired by round. A contender at its own limit, or without a valid run in a whole round's tries, is
    not viable. After a permanent failure nothing is repeated, in later rounds or with another fault.
    """

    def __init__(self, jobs: Sequence[Job], repeats: int = REPEATS, spare_rounds: int = 0) -> None:
        self._rest = deque(jobs)
        self._queue: deque[tuple[Job, int]] = deque()
        self._repeats = repeats
        self._spare_rounds = spare_rounds
        self._ranked = [job for job in jobs if job.scenario == jobs[0].scenario]
        self._wanted = len({job.round for job in self._ranked})
        self._last_round = max((job.round for job in jobs), default=0)
        self._valid: dict[Key, set[int]] = {_key(job): set() for job in jobs}
        self._hopeless: set[Key] = set()
        self._tries = 0
        self.total = len(jobs)
        """The number of runs that are currently expected."""

    def next(self) -> Job | None:
        """Return the next job; None at the end."""
        if not self._queue and not self._rest:
            self._add_spare_round()
        if not self._queue and self._rest:
            number = self._rest[0].round
            while self._rest and self._rest[0].round == number:
                self._queue.append((self._rest.popleft(), 0))
        if not self._queue:
            return None
        job, self._tries = self._queue.popleft()
        return job

    def done(self, job: Job, run: Run) -> bool:
        """Record the run of the last job from `next`; return whether it will be repeated."""
        key = _key(job)
        if run.valid:
            self._valid[key].add(job.round)
            return False
        if run.permanent:
            self._hopeless.add(key)
            self._leave_out(job)
        elif not run.disturbed:
            self._hopeless.add(key)
        elif key not in self._hopeless and self._tries < self._repeats:
            label = f"{job.label.removesuffix(f' again {self._tries}')} again {self._tries + 1}"
            self._queue.append((replace(job, label=label), self._tries + 1))
            self.total += 1
            return True
        elif not self._valid[key]:
            self._hopeless.add(key)
        return False

    @property
    def round_over(self) -> bool:
        """Whether the last job from `next` was the last of its round."""
        return not self._queue

    def end_rounds(self, after: int = 0) -> None:
        """Skip the rounds after this one. Jobs of another scenario remain, such as one that cuts every connection."""
        scenario = self._ranked[0].scenario
        kept = [job for job in self._rest if job.round <= after or job.scenario != scenario]
        self.total -= len(self._rest) - len(kept)
        self._rest = deque(kept)
        self._spare_rounds = 0

    def _leave_out(self, failed: Job) -> None:
        """Drop the jobs that would fail for the same reason."""
        kept = [job for job in self._rest if _kind(job) != _kind(failed)]
        queued = [(job, tries) for job, tries in self._queue if _kind(job) != _kind(failed)]
        self.total -= len(self._rest) - len(kept) + len(self._queue) - len(queued)
        self._rest, self._queue = deque(kept), deque(queued)

    def _add_spare_round(self) -> None:
        hopeful = {_key(job) for job in self._ranked} - self._hopeless
        if not hopeful or not self._spare_rounds:
            return
        in_common = set.intersection(*(self._valid[key] for key in hopeful))
        if len(in_common) >= self._wanted:
            return
        self._spare_rounds -= 1
        self._last_round += 1
        like = self._ranked[self._spare_rounds % len(self._ranked)].round  # any round will do
        for job in self._ranked:
            if job.round == like and _key(job) in hopeful:
                label = job.label.replace(f"round {like}", f"round {self._last_round}")
                self._rest.append(replace(job, round=self._last_round, label=label))
        self.total += len(self._rest)
