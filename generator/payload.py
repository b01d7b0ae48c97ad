"""Published events of the wanted size."""

from __future__ import annotations

from functools import lru_cache

from core.errors import UsageError
from core.stamp import Stamp, StampForm, encode, encode_compact, smallest_bytes


def require_size(payload_bytes: int, topics: list[str]) -> None:
    """Raise UsageError if a readable stamp alone is larger than the wanted event; 0 means the stamp alone."""
    least = smallest_bytes(topics)
    if 0 < payload_bytes < least:
        raise UsageError(
            f"payload_bytes = {payload_bytes}: the stamp of an event takes {least}; give {least} or more, 0 for the stamp alone, "
            "or stamp = compact"
        )


def build(stamp: Stamp, payload_bytes: int, form: StampForm = "readable", mark: str = "") -> bytes:
    """Return the event's bytes: a readable stamp padded to `payload_bytes`, or a compact stamp and that many bytes after it.

    The padding begins with the mark of the generator's clock, if there is room for it.
    """
    if form == "compact":
        return encode_compact(stamp, filling(payload_bytes, mark))
    bare = encode(stamp)
    return bare[:-2] + filling(payload_bytes - len(bare), mark) + bare[-2:]


@lru_cache(64)  # a stamp grows by a digit now and then
def filling(size_bytes: int, mark: str) -> bytes:
    """Return this many bytes of padding, which begins with the mark."""
    known = mark.encode() if len(mark) <= size_bytes else b""
    return known + b"x" * (size_bytes - len(known))


def build_around(stamp: Stamp, content: bytes, form: StampForm) -> bytes:
    """The event with this content, which is plain ASCII."""
    return encode_compact(stamp, content) if form == "compact" else encode(stamp, content.decode("ascii"))
