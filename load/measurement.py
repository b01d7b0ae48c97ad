"""What the suite needs from the processes with the clients: this process, or the workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from core.contracts.load_orders import LoadOrder
from core.contracts.load_status import LoadStatus
from load.messages import Begin
from load.worker_result import WorkerResult

Target = Callable[[], int]
"""How many clients the run should have: the last number that was requested."""

AHEAD_NS = 300_000_000
"""Measuring restarts this long after the order, and twice as long with each further try: by then every worker knows."""


@dataclass(frozen=True, slots=True)
class CollectedResult:
    """The measurement, and what is missing from it."""

    result: WorkerResult = field(default_factory=WorkerResult)
    problems: tuple[str, ...] = ()


class Measurement(Protocol):
    """The clients of a run, in any process."""

    def begin(self, begin: Begin) -> list[str]:
        """Try to start a test; returns the reason if it cannot start."""

    def tick(self) -> None:
        """Called five times a second."""

    def status(self) -> LoadStatus:
        """The current numbers."""

    def obey(self, order: LoadOrder) -> None:
        """Execute the order."""

    def measure_from(self, at_ns: int) -> None:
        """Discard the measurements.

        Events due from that instant on count, or from a later one, the same for all clients.
        """

    def collect(self, drain_s: float) -> CollectedResult:
        """End the measurement: wait this long for events that some clients have and others miss, then count."""
