"""Limits what a stream's client may send: it has nothing to send, and reading it costs the other clients time."""

from __future__ import annotations

LEAST_READ_BYTES = 64
"""Minimum cost of a read: single bytes cost a read each."""


class InboundBudget:
    """Bytes and frames per second, by the loop's clock."""

    __slots__ = ("_bytes", "_frames", "_max_bytes", "_max_frames", "_since_s")

    def __init__(self, max_bytes: int, max_frames: int = 0) -> None:
        self._max_bytes = max_bytes
        self._max_frames = max_frames
        self._bytes = self._frames = 0
        self._since_s = 0.0

    def take_read(self, size_bytes: int, now_s: float) -> bool:
        """Whether the latest read is within the limits."""
        if now_s - self._since_s >= 1.0:
            self._since_s, self._bytes, self._frames = now_s, 0, 0
        self._bytes += max(size_bytes, LEAST_READ_BYTES)
        return self._bytes <= self._max_bytes

    def take_frame(self) -> bool:
        """Whether one more frame is within the limits; its bytes were counted before."""
        self._frames += 1
        return self._frames <= self._max_frames
