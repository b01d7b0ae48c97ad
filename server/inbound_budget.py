"""How much a stream's client may send. It has nothing to say, but reading costs everyone else's time."""

from __future__ import annotations

LEAST_READ_BYTES = 64
"""What a read counts at least: bytes that come one by one cost a read each."""


class InboundBudget:
    """So many bytes and frames in each second, by the loop's clock."""

    __slots__ = ("_bytes", "_frames", "_max_bytes", "_max_frames", "_since_s")

    def __init__(self, max_bytes: int, max_frames: int = 0) -> None:
        self._max_bytes = max_bytes
        self._max_frames = max_frames
        self._bytes = self._frames = 0
        self._since_s = 0.0

    def take_read(self, size_bytes: int, now_s: float) -> bool:
        """Whether what was read just now is within the bounds."""
        if now_s - self._since_s >= 1.0:
            self._since_s, self._bytes, self._frames = now_s, 0, 0
        self._bytes += max(size_bytes, LEAST_READ_BYTES)
        return self._bytes <= self._max_bytes

    def take_frame(self) -> bool:
        """Whether one more frame is within them; its bytes were read before."""
        self._frames += 1
        return self._frames <= self._max_frames
