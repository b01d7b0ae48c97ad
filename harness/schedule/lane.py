"""One lane of several: a process that does the runs it is given, one after the other (harness/schedule/lanes.py).

Run as `python -m harness.schedule.lane FD FOLDER`, where FD is a connection to the process that gives the runs, and
FOLDER takes the clusters. It answers with the run's phases, and then with the run. SIGTERM ends it like Ctrl-C: the
programs of its run and its clusters are stopped.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from harness.results.run_record import Run
from harness.runner.broker_pool import BrokerPool
from harness.schedule.attempts import attempt
from harness.schedule.retry_queue import Job


class LaneOrder(NamedTuple):
    """A run to do, and the folder for the logs of its programs."""

    job: Job
    logs: Path


@dataclass(frozen=True, slots=True)
class LanePhase:
    """What the run is doing now."""

    words: str


LaneAnswer = LanePhase | Run


def serve(line: Connection[LaneAnswer, LaneOrder | None], folder: Path) -> None:
    """Do what comes along the line, until None comes or its other end is closed."""
    with BrokerPool(folder) as pool:
        while (order := line.recv()) is not None:
            run = attempt(order.job, order.logs, lambda words: line.send(LanePhase(words)), pool.broker)
            line.send(run)


def _end(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the ending
    raise KeyboardInterrupt


def main() -> None:
    """The process."""
    signal.signal(signal.SIGTERM, _end)
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError), Connection(int(sys.argv[1])) as line:
        serve(line, Path(sys.argv[2]))


if __name__ == "__main__":
    from harness.schedule import lane  # what it sends must not belong to the module __main__

    lane.main()
