"""One clock rule for all hops: wall-clock nanoseconds, and a check that the wall clock ran evenly."""

from __future__ import annotations

import time
from dataclasses import dataclass

now_ns = time.time_ns

MAX_STEP_NS = 5_000_000
"""A wall clock that moves this far against the monotonic one within a run makes its latencies worthless."""


@dataclass(frozen=True, slots=True)
class ClockPair:
    """The wall and the monotonic clock read at one moment, both in nanoseconds."""

    wall_ns: int
    monotonic_ns: int

    @classmethod
    def read(cls) -> ClockPair:
        """Read both clocks, the monotonic one on both sides of the wall clock, and keep its middle."""
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        return cls(wall, (before + after) // 2)

    def step_ns(self, later: ClockPair) -> int:
        """How far the wall clock ran ahead of the monotonic one since this reading (negative: behind)."""
        return (later.wall_ns - self.wall_ns) - (later.monotonic_ns - self.monotonic_ns)
