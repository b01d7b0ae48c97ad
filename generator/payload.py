"""Published events of the wanted size."""

from __future__ import annotations

from core.errors import UsageError
from core.stamp import Stamp, StampForm, encode, encode_compact, smallest_bytes


def require_size(payload_bytes: int, topics: list[str]) -> None:
    """Raise UsageError if a readable stamp alone is larger than the wanted event; 0 is the stamp alone."""
    least = smallest_bytes(topics)
    if 0 < payload_bytes < least:
        raise UsageError(
            f"payload_bytes = {payload_bytes}: the stamp of an event takes {least}; give {least} or more, 0 for the stamp alone, "
            "or stamp = compact"
        )


def build(stamp: Stamp, payload_bytes: int, form: StampForm = "readable") -> bytes:
    """The event's bytes: a readable one padded to `payload_bytes`, or a compact stamp and that many bytes beside it."""
    if form == "compact":
        return encode_compact(stamp, b"x" * payload_bytes)
    bare = encode(stamp)
    return bare[:-2] + b"x" * (payload_bytes - len(bare)) + bare[-2:]


def build_around(stamp: Stamp, content: bytes, form: StampForm) -> bytes:
    """The event that carries this content, which is plain ASCII."""
    return encode_compact(stamp, content) if form == "compact" else encode(stamp, content.decode("ascii"))
