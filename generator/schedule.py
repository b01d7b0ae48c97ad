"""When events are due: an open-loop schedule as a pure value. Nothing here waits, sends or reads a clock."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from core.scenario import ScheduleKind

NS_PER_S = 1_000_000_000
DENSE_HZ = 2_000.0
"""From this rate on, events are due at ticks."""
TICK_NS = 2_000_000
"""The distance of two ticks: at least four events share one on average."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Due instants by kind.

    - `constant`: one event every 1 / rate_hz seconds, the first at 0.
    - `poisson`: independent exponential gaps of mean 1 / rate_hz (a Poisson process), drawn from `seed`.
    - `burst`: `burst_events` at one instant, every burst_events / rate_hz seconds.

    From DENSE_HZ on, an event is due at the tick at or before its instant (docs/decisions/0023-ticks.md).
    """

    kind: ScheduleKind
    rate_hz: float
    burst_events: int = 1
    seed: int = 1

    def offsets_ns(self) -> Iterator[int]:
        """The due times in nanoseconds from the start, in order, endlessly."""
        exact_ns = self._exact_ns()
        return exact_ns if self.rate_hz < DENSE_HZ else (at_ns - at_ns % TICK_NS for at_ns in exact_ns)

    def _exact_ns(self) -> Iterator[int]:
        if self.kind == "poisson":
            return self._poisson()
        size = self.burst_events if self.kind == "burst" else 1
        # From the index, not a sum, so there is no drift.
        return (int((i // size) * size * NS_PER_S / self.rate_hz) for i in itertools.count())

    def _poisson(self) -> Iterator[int]:
        rng = random.Random(self.seed)
        at_s = 0.0
        while True:
            at_s += rng.expovariate(self.rate_hz)
            yield int(at_s * NS_PER_S)

    def until_ns(self, end_ns: int | None) -> Iterator[int]:
        """The offsets before `end_ns`; all of them if it is None."""
        offsets = self.offsets_ns()
        return offsets if end_ns is None else itertools.takewhile(lambda offset: offset < end_ns, offsets)
