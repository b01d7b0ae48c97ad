"""Clocks: the answer to `GET /clock`, and the offsets between the clocks of a measurement."""

from __future__ import annotations

from core.contracts.codec import Document
from core.contracts.measures import Span

HOST_CLOCK_HEADER = "fanbench-clock"
"""Identifies the clock in the answer (`core/host_clock.py`), so that processes of one host need no comparison."""
CLOCK_EVERY_S = 0.1
"""Load and generator ask each replica this often, on a kept connection."""
CLOCK_ANSWER_S = 2.0
"""An answer that takes longer does not count, and the connection is opened again."""
CLOCK_AGAIN_S = 1.0
"""The wait after an attempt that failed."""
CLOCK_ANSWER_BYTES = 16_384
"""A longer answer is not one of a replica."""


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
    """The replica with the lowest name, the reference for the other clocks."""
    offsets: dict[str, ClockOffset]
    """The offsets of replicas, load hosts and generator, as last known, except those that share the reference's clock.
    """
    bounds_ms: dict[Span, float]
    """The widest bound of any of the hop's deliveries."""
