"""Published events of the wanted size."""

from __future__ import annotations

from core.errors import UsageError
from core.stamp import Stamp, encode, smallest_bytes


def require_size(payload_bytes: int, topics: list[str]) -> None:
    """Raise UsageError if the stamp alone is larger than the wanted payload."""
    least = smallest_bytes(topics)
    if payload_bytes < least:
        raise UsageError(f"payload_bytes = {payload_bytes}: the stamp of an event takes {least}; give {least} or more")


def build(stamp: Stamp, payload_bytes: int) -> bytes:
    """The event's bytes, padded to exactly `payload_bytes`."""
    bare = encode(stamp)
    return bare[:-2] + b"x" * (payload_bytes - len(bare)) + bare[-2:]
