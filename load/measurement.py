"""What the suite needs from the holders of the clients: this process, or the workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from core.contracts.load_orders import LoadOrder
from core.contracts.load_status import LoadStatus
from load.messages import Begin
from load.worker_result import WorkerResult

Target = Callable[[], int]
"""How many clients the run is to have: the last number that was requested."""

AHEAD_NS = 300_000_000
"""Measuring starts again this much later than it is ordered, twice as much with each further try: by then every worker knows."""


@dataclass(frozen=True, slots=True)
class CollectedResult:
    """The measurement, and what is missing, in words."""

    result: WorkerResult = field(default_factory=WorkerResult)
    problems: tuple[str, ...] = ()


class Measurement(Protocol):
    """The clients of a run, in whatever process."""

    def begin(self, begin: Begin) -> list[str]:
        """Start a test, or try to; returns what prevents it, in words."""

    def tick(self) -> None:
        """Called five times a second."""

    def status(self) -> LoadStatus:
        """The numbers of the moment."""

    def obey(self, order: LoadOrder) -> None:
        """Do what the order says."""

    def measure_from(self, at_ns: int) -> None:
        """Discard the measurements; events due from that instant on count, or from a later one, the same for all clients."""

    def collect(self, drain_s: float) -> CollectedResult:
        """End the measurement: wait that long for what some clients have and others lack, then count."""
