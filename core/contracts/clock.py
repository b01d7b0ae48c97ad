"""Clocks: the answer to `GET /clock`, and the offsets between the clocks of a measurement."""

from __future__ import annotations

from core.contracts.codec import Document
from core.contracts.measures import Span

HOST_CLOCK_HEADER = "fanbench-clock"
"""Of the answer: which clock it is (`core/host_clock.py`), so that processes of one host need no comparison."""


class ClockReading(Document):
    """A replica's wall clock in nanoseconds, read while it answers."""

    server: str
    now_ns: int


class ClockOffset(Document):
    """How far a clock is ahead of another, in milliseconds; the error is at most `bound_ms`."""

    ahead_ms: float
    bound_ms: float


class ClockComparison(Document):
    """The clocks of a measurement. On one host there is one clock: no offsets, bounds of 0."""

    reference: str
    """The replica with the lowest name, whose clock the others are told against."""
    offsets: dict[str, ClockOffset]
    """Of the replicas, the load's hosts and the generator, as last known.

    Those that read the reference's clock are left out.
    """
    bounds_ms: dict[Span, float]
    """The widest that any delivery of the hop had."""
