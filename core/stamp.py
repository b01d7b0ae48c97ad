"""The event as published: a one-line UTF-8 JSON object whose stamp lies outside every adapter.

`{"stream":"k3f9","seq":17,"topic":"events","phase":"measure","due_ns":…,"sent_ns":…,"pad":"…"}`
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import orjson

Phase = Literal["warmup", "measure"]
_STREAM_LENGTH = 8
_LARGEST_SEQ = 10**12  # one that no run reaches
_ID = re.compile(r"([a-z0-9]{1,32})-(0|[1-9][0-9]{0,17})\Z")


class StampError(ValueError):
    """A payload that is not an event of ours; the message names what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who published an event, its place in the stream, and when it was due and sent (wall clock, nanoseconds)."""

    stream: str
    seq: int
    topic: str
    phase: Phase
    due_ns: int
    sent_ns: int

    @property
    def id(self) -> str:
        """The SSE id: the same at every replica, since it comes from the generator."""
        return f"{self.stream}-{self.seq}"


def new_stream() -> str:
    """A name for one generator's start, unlike any other: 8 lower-case base-32 characters."""
    return "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(_STREAM_LENGTH))


def parse_id(text: str) -> tuple[str, int] | None:
    """`k3f9-17` as `("k3f9", 17)`; None for anything else, however hostile."""
    match = _ID.match(text)
    return (match[1], int(match[2])) if match else None


def encode(stamp: Stamp, pad: str = "") -> bytes:
    """The published bytes of an event; `pad` brings it to the wanted size and must be plain ASCII."""
    return (
        f'{{"stream":"{stamp.stream}","seq":{stamp.seq},"topic":{orjson.dumps(stamp.topic).decode()},'
        f'"phase":"{stamp.phase}","due_ns":{stamp.due_ns},"sent_ns":{stamp.sent_ns},"pad":"{pad}"}}'
    ).encode()


def smallest_bytes(topics: Sequence[str]) -> int:
    """The bytes that a stamp needs on the longest of these topics, with room for every seq that a run may reach."""
    topic = max(topics, key=lambda name: len(name.encode()))
    return len(encode(Stamp("x" * _STREAM_LENGTH, _LARGEST_SEQ, topic, "measure", 10**18, 10**18)))


def decode(payload: bytes) -> Stamp:
    """Read the stamp of a published event.

    Raises:
        StampError: not UTF-8 JSON, not one line, not an object, or a stamp field is missing or of a wrong kind.
    """
    if b"\n" in payload or b"\r" in payload:
        raise StampError("not one line")
    try:
        fields = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise StampError("not UTF-8 JSON") from error
    if not isinstance(fields, dict):
        raise StampError("not a JSON object")
    try:
        stamp = Stamp(
            fields["stream"], fields["seq"], fields["topic"], fields["phase"], fields["due_ns"], fields["sent_ns"]
        )
    except KeyError as error:
        raise StampError(f"stamp field {error} is missing") from error
    numbers = (stamp.seq, stamp.due_ns, stamp.sent_ns)
    if any(type(number) is not int or number < 0 for number in numbers):
        raise StampError("seq, due_ns and sent_ns must be whole numbers from 0")
    if not isinstance(stamp.topic, str) or stamp.phase not in ("warmup", "measure"):
        raise StampError("topic must be text, phase 'warmup' or 'measure'")
    if not isinstance(stamp.stream, str) or parse_id(stamp.id) is None:
        raise StampError("stream must be 1 to 32 characters of a-z and 0-9, seq below 10^18")
    return stamp
