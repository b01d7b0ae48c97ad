"""One of several lanes: a process that does the runs it receives, one after the other (harness/schedule/lanes.py).

Run as `python -m harness.schedule.lane FD FOLDER`. FD is the descriptor of a connection to the process that sends the
runs. FOLDER gets the clusters' files. The lane answers with the phases of a run and then with the run. SIGTERM ends it
like Ctrl-C: it stops the programs of its run and its clusters.
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
    """The current phase of the run."""

    words: str


LaneAnswer = LanePhase | Run


def serve(line: Connection[LaneAnswer, LaneOrder | None], folder: Path) -> None:
    """Do each run that arrives on the line, until None arrives or the other end closes."""
    with BrokerPool(folder) as pool:
        while (order := line.recv()) is not None:
            run = attempt(order.job, order.logs, lambda words: line.send(LanePhase(words)), pool.broker)
            line.send(run)


def _end(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the shutdown
    raise KeyboardInterrupt


def main() -> None:
    """The lane's entry point."""
    signal.signal(signal.SIGTERM, _end)
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError), Connection(int(sys.argv[1])) as line:
        serve(line, Path(sys.argv[2]))


if __name__ == "__main__":
    from harness.schedule import lane  # so that the classes it sends do not belong to the module __main__

    lane.main()
