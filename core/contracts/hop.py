"""The requests of `fanbench hop` to its worker processes on stdin, and their answers on stdout."""

from __future__ import annotations

from typing import Literal

from core.contracts.codec import Document


class HopPlan(Document):
    """Publish at a pace through an adapter, and receive."""

    version: Literal[1] = 1
    url: str
    delivery: str
    rate_hz: float
    duration_s: float
    warmup_s: float
    payload_bytes: int

    @property
    def warm(self) -> int:
        """Messages that do not count."""
        return int(self.warmup_s * self.rate_hz)

    @property
    def measured(self) -> int:
        """Messages that count."""
        return max(1, int(self.duration_s * self.rate_hz))


class HopFigures(Document):
    """The result: latencies in microseconds, None if no message came; `client_us` is the process's CPU per message."""

    version: Literal[1] = 1
    messages: int
    """Messages that count."""
    published: int
    """Including those that do not count."""
    lost: int
    achieved_hz: float
    p50_us: float | None
    p99_us: float | None
    client_us: float | None


class LoopPlan(Document):
    """Publish and receive in a loop, through an adapter or its bare library."""

    version: Literal[1] = 1
    url: str
    delivery: str
    by: Literal["adapter", "bare"]
    messages: int
    in_flight: int
    """Publishers that each wait for their publish; 0: publish at `rate_hz` without waiting."""
    rate_hz: float = 0.0
    seconds: float = 0.0
    """Publish the messages and wait for all, repeatedly, for this long; 0: once."""
    payload_bytes: int = 200


class LoopFigures(Document):
    """The loop's cost: `client_us` is the process's CPU per message, from the first publish to the last arrival."""

    version: Literal[1] = 1
    client_us: float
    messages_hz: float
    published: int
    """Including those before the measurement."""
