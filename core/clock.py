"""One clock rule for all hops: wall-clock nanoseconds, and a check that the wall clock ran evenly."""

from __future__ import annotations

import time
from dataclasses import dataclass

now_ns = time.time_ns

MAX_STEP_NS = 5_000_000
"""If the wall clock moves this far against the monotonic clock, the run's latencies are useless."""
_READINGS = 5


@dataclass(frozen=True, slots=True)
class ClockPair:
    """The wall and the monotonic clock read at one moment, both in nanoseconds."""

    wall_ns: int
    monotonic_ns: int

    @classmethod
    def read(cls) -> ClockPair:
        """Read both clocks, the monotonic one on both sides of the wall clock, and keep its middle.

        Take the narrowest of a few readings: one that was interrupted between the clocks would look like a step.
        """
        _, wall, monotonic = min(_reading() for _ in range(_READINGS))
        return cls(wall, monotonic)

    def step_ns(self, later: ClockPair) -> int:
        """How far the wall clock ran ahead of the monotonic one since this reading (negative: behind)."""
        return (later.wall_ns - self.wall_ns) - (later.monotonic_ns - self.monotonic_ns)


def _reading() -> tuple[int, int, int]:
    before = time.monotonic_ns()
    wall = time.time_ns()
    after = time.monotonic_ns()
    return after - before, wall, (before + after) // 2


class ClockWatch:
    """The largest movement of the wall clock relative to the monotonic one since the watch began, as seen at each `look`."""

    def __init__(self) -> None:
        self._began = ClockPair.read()
        self.farthest_ns = 0

    def look(self) -> None:
        """Compare the clocks now.

        A clock that is set forward and back is detected only if `look` is called in between.
        """
        self.farthest_ns = max(self.farthest_ns, self._began.step_ns(ClockPair.read()), key=abs)
