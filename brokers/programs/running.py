"""A running broker program: a child process or a container."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from core.errors import TransientError

START_TIMEOUT_S = 20.0
STOP_GRACE_S = 15.0
"""Time for an orderly end: a program that is killed earlier may lose pending writes."""
USER, PASSWORD = "fanbench", "fanbench-secret"
"""The password that a program with the feature `password` requires."""
_POLL_S = 0.02
_STOP_S = 1.5
"""After Ctrl-C the other children need time too, and all must be gone within 5 s."""


class Started(Protocol):
    """Something that was started and can be ended: core.process.Child, or a container."""

    @property
    def pid(self) -> int | None:
        """Its first process on this machine; None if that cannot be seen from here."""

    @property
    def returncode(self) -> int | None:
        """The exit code, or None while it runs."""

    def last_words(self) -> str:
        """The end of its log on one line, for an error."""

    def send_signal(self, sig: signal.Signals) -> None:
        """Send a signal to all its processes; no error if it is gone."""

    def stop(self, grace_s: float) -> None:
        """SIGTERM, wait, then SIGKILL. Idempotent."""

    def kill(self) -> None:
        """SIGKILL."""


@dataclass(slots=True)
class Running:
    """A program that answers; leaving the `with` block stops it and removes its data.

    `kill` and `start_again` are for faults: the program comes back on the same ports with its data.
    """

    name: str
    listeners: Mapping[str, str]
    """host:port by protocol: redis, nats, mqtt, amqp."""
    data: Path
    spawn: Callable[[], Started]
    ready: Callable[[], bool]
    start_timeout_s: float = START_TIMEOUT_S
    stop_grace_s: float = STOP_GRACE_S
    credentials: tuple[str, str] | None = None
    """The user and the password that it requires."""
    discard: Callable[[], None] | None = None
    """Removes it with its processes and its data, for what is not all under `data`: a container."""
    shortfall: Callable[[Started], str] | None = None
    """Says what it does not do although a setting asks for it; empty if it does everything."""
    child: Started | None = None

    @property
    def pids(self) -> list[int]:
        """The processes whose trees count as the broker's CPU and memory; empty if they cannot be seen from here."""
        if self.child is None or self.ended or (pid := self.child.pid) is None:
            return []
        return [pid]

    @property
    def ended(self) -> bool:
        """Whether it is not running."""
        return self.child is None or self.child.returncode is not None

    def start_again(self) -> None:
        """Start it and wait for a protocol round trip.

        Raises:
            TransientError: it ended, or did not answer in time.
        """
        self.begin()
        self.until_ready()

    def begin(self) -> None:
        """Start it."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.child = self.spawn()

    def until_ready(self) -> None:
        """Wait until it answers a protocol round trip.

        Raises:
            TransientError: it ended, or did not answer in time.
        """
        child = self.child
        assert child is not None
        deadline = time.monotonic() + self.start_timeout_s
        while not self.ready():
            if child.returncode is None and time.monotonic() < deadline:
                time.sleep(_POLL_S)
                continue
            ended = "ended" if child.returncode is not None else f"did not answer within {self.start_timeout_s:g} s"
            child.kill()
            raise TransientError(f"{self.name} {ended}; {child.last_words()}")

    def kill(self) -> None:
        """SIGKILL; its data stay."""
        if self.child is not None:
            self.child.kill()

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and falls silent."""
        if self.child is not None:
            self.child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        if self.child is not None:
            self.child.send_signal(signal.SIGCONT)

    def halt(self) -> None:
        """Ask it to end, as an operator would; its data stay."""
        if self.child is not None:
            self.child.stop(self.stop_grace_s)

    def stop(self) -> None:
        """End it within `_STOP_S` and remove its data, so an orderly end is not needed. Idempotent."""
        if self.discard is not None:
            self.kill()
            self.discard()
        elif self.child is not None:
            self.child.stop(min(self.stop_grace_s, _STOP_S))
        shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def launch(running: Running) -> Running:
    """Start it for the first time; on failure only its log remains."""
    try:
        running.start_again()
    except BaseException:
        running.stop()
        raise
    return running
