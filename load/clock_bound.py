"""Bounds how far a server's clock is from ours, by the `Date` headers of its answers."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime

_SECOND_NS = 1_000_000_000


@dataclass(slots=True)
class ClockBound:
    """The server's clock minus ours is within these nanoseconds; None before the first answer. With several servers, low may exceed high."""

    low_ns: int | None = None
    high_ns: int | None = None

    def note(self, date: str, asked_ns: int, answered_ns: int) -> None:
        """Add an answer with that `Date`, which has whole seconds; other text is ignored."""
        try:
            at_ns = int(parsedate_to_datetime(date).timestamp()) * _SECOND_NS
        except (ValueError, OverflowError):
            return
        self.meet(ClockBound(at_ns - answered_ns, at_ns + _SECOND_NS - asked_ns))

    def meet(self, other: ClockBound) -> None:
        """Merge both bounds."""
        if other.low_ns is not None:
            self.low_ns = other.low_ns if self.low_ns is None else max(self.low_ns, other.low_ns)
        if other.high_ns is not None:
            self.high_ns = other.high_ns if self.high_ns is None else min(self.high_ns, other.high_ns)
