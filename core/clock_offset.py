"""How far another host's clock is ahead of ours, as an interval that contains the truth whatever the network does.

A request leaves at `left_ns` on our clock, the other side reads `remote_ns` on its own, and the answer arrives at
`back_ns`. The other side read its clock in between, so it is ahead by a value in [remote - back, remote - left].
Nothing here reads a clock or a socket.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

MAX_DRIFT = 1_000e-6
"""If two clocks drift apart faster, one of them was set: NTP slews by at most 500 ppm."""
WANDER = 20e-6
"""How much the drift itself changes in the window."""
WINDOW_NS = 30_000_000_000
_BUCKET_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class OffsetInterval:
    """The other clock is ahead of ours by at least `low_ns` and at most `high_ns`."""

    low_ns: int
    high_ns: int

    @property
    def ns(self) -> int:
        """The middle: the estimate."""
        return (self.low_ns + self.high_ns) // 2

    @property
    def bound_ns(self) -> int:
        """How far the truth may lie from the middle."""
        return self.high_ns - self.ns

    def minus(self, other: OffsetInterval) -> OffsetInterval:
        """How far the first clock is ahead of the second, both relative to a third."""
        return OffsetInterval(self.low_ns - other.high_ns, self.high_ns - other.low_ns)

    def intersect(self, other: OffsetInterval) -> OffsetInterval | None:
        """Their intersection; None if it is empty."""
        low_ns, high_ns = max(self.low_ns, other.low_ns), min(self.high_ns, other.high_ns)
        return OffsetInterval(low_ns, high_ns) if low_ns <= high_ns else None

    def holds(self, ns: int) -> bool:
        """Whether the offset may have this value."""
        return self.low_ns <= ns <= self.high_ns


SAME = OffsetInterval(0, 0)
"""A clock's offset to itself."""


class DriftRange(NamedTuple):
    """How fast the other clock may run ahead of ours, in seconds per second."""

    low: float
    high: float


class TimedInterval(NamedTuple):
    """The offset at an instant of our clock."""

    at_ns: int
    low_ns: int
    high_ns: int

    @property
    def width_ns(self) -> int:
        return self.high_ns - self.low_ns


def interval_of(left_ns: int, remote_ns: int, back_ns: int) -> TimedInterval:
    """The offset from one probe, at the instant in its middle."""
    # The remote clock was read at another instant of the probe, and may have drifted since.
    drifted_ns = int((back_ns - left_ns) * MAX_DRIFT) + 1
    return TimedInterval((left_ns + back_ns) // 2, remote_ns - back_ns - drifted_ns, remote_ns - left_ns + drifted_ns)


def drift_of(intervals: list[TimedInterval]) -> DriftRange | None:
    """The drifts that all intervals, ordered by instant, allow; None if there are none, because a clock was set."""
    low, high = -MAX_DRIFT, MAX_DRIFT
    for number, later in enumerate(intervals):
        for earlier in intervals[:number]:
            apart_ns = later.at_ns - earlier.at_ns
            low = max(low, (later.low_ns - earlier.high_ns) / apart_ns - WANDER)
            high = min(high, (later.high_ns - earlier.low_ns) / apart_ns + WANDER)
    return DriftRange(low, high) if low <= high else None


def offset_at(now_ns: int, intervals: list[TimedInterval], drift: DriftRange) -> OffsetInterval | None:
    """The offset now: the intersection of all intervals, each moved by the drift; None if it is empty."""
    low_ns, high_ns = -float("inf"), float("inf")
    for at_ns, low, high in intervals:
        moved = ((now_ns - at_ns) * drift.low, (now_ns - at_ns) * drift.high)
        low_ns, high_ns = max(low_ns, low + min(moved)), min(high_ns, high + max(moved))
    return OffsetInterval(int(low_ns) - 1, int(high_ns) + 1) if low_ns <= high_ns else None


class OffsetEstimator:
    """The offset of one clock, from all its probes."""

    def __init__(self) -> None:
        self._kept: deque[TimedInterval] = deque()
        """The narrowest interval of each second."""
        self._latest: TimedInterval | None = None
        """The latest interval: the drift since the narrowest one may exceed its extra width."""
        self._drift: DriftRange | None = DriftRange(-MAX_DRIFT, MAX_DRIFT)
        self.stepped = False
        """Whether the intervals exclude one another: one of the two clocks was set, or runs unevenly."""

    def add(self, left_ns: int, remote_ns: int, back_ns: int) -> None:
        """Take a probe, in nanoseconds of the wall clocks."""
        if back_ns < left_ns or (self._kept and left_ns < self._kept[-1].at_ns - _BUCKET_NS):
            self._set_anew()
            return
        one = self._latest = interval_of(left_ns, remote_ns, back_ns)
        if self._kept and one.at_ns // _BUCKET_NS <= self._kept[-1].at_ns // _BUCKET_NS:
            self._narrow(one)
        else:
            self._kept.append(one)
            while one.at_ns - self._kept[0].at_ns > WINDOW_NS:
                self._kept.popleft()
            self._fit()

    def _narrow(self, one: TimedInterval) -> None:
        before = self._kept[-1]
        apart_ns = int(abs(one.at_ns - before.at_ns) * (MAX_DRIFT + WANDER)) + 1
        if one.low_ns - before.high_ns > apart_ns or before.low_ns - one.high_ns > apart_ns:
            self._set_anew()
        elif one.width_ns < before.width_ns:
            self._kept[-1] = one
            self._fit()

    def _fit(self) -> None:
        self._drift = drift_of(list(self._kept))
        if self._drift is None:
            self._set_anew()

    def _set_anew(self) -> None:
        """Forget earlier probes, which are no longer valid."""
        self.stepped = True
        self._kept.clear()
        self._latest = None
        self._drift = DriftRange(-MAX_DRIFT, MAX_DRIFT)

    def at(self, now_ns: int, reach_ns: int = 0) -> OffsetInterval | None:
        """The offset now, which is also valid for instants up to `reach_ns` before; None before the first probe."""
        if self._latest is None or self._drift is None:
            return None
        found = offset_at(now_ns, [*self._kept, self._latest], self._drift)
        if found is None:
            self._set_anew()
            return None
        moved = sorted((0.0, -reach_ns * self._drift.low, -reach_ns * self._drift.high))
        return OffsetInterval(found.low_ns + int(moved[0]), found.high_ns + int(moved[-1]))

    def forgive(self) -> None:
        """Measuring restarts: earlier steps do not count."""
        self.stepped = False
