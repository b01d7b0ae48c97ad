"""Published events of the wanted size."""

from __future__ import annotations

from core.errors import UsageError
from core.stamp import Stamp, encode

_LARGEST = 10**12  # a seq that no run reaches; it sizes the smallest payload


def smallest_bytes(stream: str, topic: str) -> int:
    """The bytes that a stamp needs on this topic, with room for every seq that a run may reach."""
    return len(encode(Stamp(stream, _LARGEST, topic, "measure", 10**18, 10**18)))


def require_size(payload_bytes: int, stream: str, topics: list[str]) -> None:
    """Raise UsageError if the stamp alone is larger than the wanted payload."""
    topic = max(topics, key=lambda t: len(t.encode()))
    least = smallest_bytes(stream, topic)
    if payload_bytes < least:
        raise UsageError(
            f"payload of {payload_bytes} bytes: the stamp on topic '{topic}' takes {least}; give {least} or more"
        )


def build(stamp: Stamp, payload_bytes: int) -> bytes:
    """The event's bytes, padded to exactly `payload_bytes`."""
    bare = encode(stamp)
    return bare[:-2] + b"x" * (payload_bytes - len(bare)) + bare[-2:]
