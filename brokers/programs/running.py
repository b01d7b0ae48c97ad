"""A broker program that runs as a child process."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from core.errors import FanbenchError
from core.process import Child

START_TIMEOUT_S = 20.0
USER, PASSWORD = "fanbench", "fanbench-secret"
"""What a program with the feature `password` asks for."""
_POLL_S = 0.02


@dataclass(slots=True)
class Running:
    """A program that answers; leaving the `with` block stops it and removes its data.

    `kill` and `start_again` are for faults: the program comes back on the same ports, with the data it left.
    """

    name: str
    listeners: Mapping[str, str]
    """host:port by protocol: redis, nats, mqtt, amqp."""
    data: Path
    spawn: Callable[[], Child]
    ready: Callable[[], bool]
    start_timeout_s: float = START_TIMEOUT_S
    stop_grace_s: float = 3.0
    credentials: tuple[str, str] | None = None
    """User and password that it asks for."""
    child: Child | None = None

    @property
    def pids(self) -> list[int]:
        """The processes whose trees are the broker's CPU and memory."""
        return [self.child.pid] if self.child is not None and self.child.returncode is None else []

    def start_again(self) -> None:
        """Start it and wait for a protocol round trip.

        Raises:
            FanbenchError: it ended, or did not answer in time.
        """
        self.data.mkdir(parents=True, exist_ok=True)
        self.child = child = self.spawn()
        deadline = time.monotonic() + self.start_timeout_s
        while not self.ready():
            if child.returncode is None and time.monotonic() < deadline:
                time.sleep(_POLL_S)
                continue
            ended = "ended" if child.returncode is not None else f"did not answer within {self.start_timeout_s:g} s"
            child.kill()
            raise FanbenchError(f"{self.name} {ended}; {child.last_words()}")

    def kill(self) -> None:
        """SIGKILL; its data stay."""
        if self.child is not None:
            self.child.kill()

    def halt(self) -> None:
        """Ask it to end, as an operator would; its data stay."""
        if self.child is not None:
            self.child.stop(self.stop_grace_s)

    def stop(self) -> None:
        """End it and remove its data. Idempotent."""
        self.halt()
        shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def launch(running: Running) -> Running:
    """Start it for the first time; on failure nothing of it is left but its log."""
    try:
        running.start_again()
    except BaseException:
        running.stop()
        raise
    return running
