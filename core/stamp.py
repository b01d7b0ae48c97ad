"""The event as published: its place and its instants, outside every adapter, in one of two forms.

- `readable`, a one-line UTF-8 JSON object:
  `{"stream":"k3f9","seq":17,"topic":"events","phase":"measure","due_ns":…,"sent_ns":…,"pad":"…"}`
- `compact`, for small payloads: `k3f9-17m5fe3a1b2c3d4e.3e8 PAYLOAD`. That is the id, `w` or `m` for the phase, due in
  microseconds and sent - due, both hexadecimal. The topic is the one on which the event arrived. Instants are truncated to
  microseconds.
"""

from __future__ import annotations

import random
import re
import secrets
from collections.abc import Sequence
from typing import Literal, NamedTuple

import orjson

Phase = Literal["warmup", "measure"]
StampForm = Literal["readable", "compact"]
COMPACT_BYTES = 40
"""Size of a compact stamp at the client, up to seq 9,999 and one second of delay in each hop."""
_STREAM_LENGTH = 8
_LARGEST_SEQ = 10**12  # higher than any run reaches
_ID = re.compile(r"([a-z0-9]{1,32})-(0|[1-9][0-9]{0,17})\Z")
_PLAIN = r"[ !#-\[\]-~]"
_END_NS = 9 * 10**18
"""No instant is as late (the year 2255): the load keeps instants in 64 bits."""
_INSTANT = "([1-8][0-9]{18}|0|[1-9][0-9]{0,17})"
_FIELDS = (
    rf'"stream":"([a-z0-9]{{1,32}})","seq":(0|[1-9][0-9]{{0,17}}),"topic":"({_PLAIN}+)","phase":"(warmup|measure)",'
    rf'"due_ns":{_INSTANT},"sent_ns":{_INSTANT},"pad":"({_PLAIN}*)"\}}'
)
_EXACT = re.compile((r"\{" + _FIELDS + r"\Z").encode())
"""The output of `encode`, except for topics with escaped or non-ASCII characters: parsed in half the time."""
RECEIVED_PATTERN = rf'\{{"server":"({_PLAIN}*)","received_ns":{_INSTANT},' + _FIELDS
"""A stamp as a replica passes it on. Groups, all ASCII: server, received_ns, stream, seq, topic, phase, due_ns, sent_ns, pad."""
_EXACT_RECEIVED = re.compile(RECEIVED_PATTERN + r"\Z")
_COMPACT = re.compile(rb"([a-z0-9]{1,32})-(0|[1-9][0-9]{0,17})([wm])([0-9a-f]{1,13})\.([0-9a-f]{1,12}) ")
_RECEIVED = re.compile(r"([wm])([0-9a-f]{1,13})\.([0-9a-f]{1,12})\.(-?[0-9a-f]{1,12}) ")
_LETTERS: dict[Phase, str] = {"warmup": "w", "measure": "m"}
_WORDS: dict[bytes, Phase] = {b"warmup": "warmup", b"measure": "measure"}
SHORT_BYTES = 1024
"""Up to this size the pattern is faster than a JSON parser."""
_PHASES: dict[str, Phase] = {"w": "warmup", "m": "measure"}
_NS_PER_US = 1000


class StampError(ValueError):
    """A payload that is not a fanbench event; the message names what is wrong with it."""


class Stamp(NamedTuple):
    """The event's stream, its place there, and when it was due and sent (wall clock, nanoseconds)."""

    stream: str
    seq: int
    topic: str
    phase: Phase
    due_ns: int
    sent_ns: int

    @property
    def id(self) -> str:
        """The SSE id: equal at every replica, because the generator makes it."""
        return f"{self.stream}-{self.seq}"


class ReceivedEvent(NamedTuple):
    """A readable event as a replica sends it."""

    stamp: Stamp
    server: str
    received_ns: int
    pad: str


class ReceivedStamp(NamedTuple):
    """A compact stamp as a replica sends it, without its id; nanoseconds of the wall clock."""

    phase: Phase
    due_ns: int
    sent_ns: int
    received_ns: int
    payload: str


def new_stream(starts_ns: int = 0) -> str:
    """A unique name for one start of a generator: 8 lower-case base-32 characters.

    With `starts_ns`, the common start of several generators, all of them get the same name.
    """
    choice = random.Random(starts_ns).choice if starts_ns else secrets.choice
    return "".join(choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(_STREAM_LENGTH))


def parse_id(text: str) -> tuple[str, int] | None:
    """Parse `k3f9-17` as `("k3f9", 17)`; None for anything else, however hostile."""
    match = _ID.match(text)
    return (match[1], int(match[2])) if match else None


def is_instant(value: object) -> bool:
    """Whether it is a whole number that can be an instant, in nanoseconds: from 0, and in 64 bits."""
    return type(value) is int and 0 <= value < _END_NS


def encode(stamp: Stamp, pad: str = "") -> bytes:
    """The published bytes of an event; `pad` fills it to the wanted size and must be plain ASCII."""
    return (
        f'{{"stream":"{stamp.stream}","seq":{stamp.seq},"topic":{orjson.dumps(stamp.topic).decode()},'
        f'"phase":"{stamp.phase}","due_ns":{stamp.due_ns},"sent_ns":{stamp.sent_ns},"pad":"{pad}"}}'
    ).encode()


def encode_compact(stamp: Stamp, payload: bytes) -> bytes:
    """The published bytes of an event with a compact stamp.

    The payload is UTF-8 without line ends, and may be empty.
    """
    due_us = stamp.due_ns // _NS_PER_US
    late_us = max(0, stamp.sent_ns // _NS_PER_US - due_us)
    head = f"{stamp.stream}-{stamp.seq}{_LETTERS[stamp.phase]}{due_us:x}.{late_us:x} "
    return head.encode() + payload


def smallest_bytes(topics: Sequence[str]) -> int:
    """The bytes that a readable stamp needs on the longest of these topics, with room for every seq that a run may reach."""
    topic = max(topics, key=lambda name: len(name.encode()))
    return len(encode(Stamp("x" * _STREAM_LENGTH, _LARGEST_SEQ, topic, "measure", 10**18, 10**18)))


def decode(payload: bytes, topic: str = "") -> Stamp:
    """Read the stamp of an event that was published on `topic`, which a compact stamp does not contain.

    Raises:
        StampError: it is neither UTF-8 JSON nor a compact stamp, not one line, or a field is missing or of the wrong
        type.
    """
    exact = _EXACT.match(payload) if len(payload) <= SHORT_BYTES else None
    if exact is not None:
        stream, seq, name, phase, due_ns, sent_ns, _ = exact.groups()
        return Stamp(stream.decode(), int(seq), name.decode(), _WORDS[phase], int(due_ns), int(sent_ns))
    if b"\n" in payload or b"\r" in payload:
        raise StampError("not one line")
    match = _COMPACT.match(payload)
    if match is not None:
        return _decode_compact(match, payload, topic)
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
    if not (is_instant(stamp.seq) and is_instant(stamp.due_ns) and is_instant(stamp.sent_ns)):
        raise StampError("seq, due_ns and sent_ns must be whole numbers from 0 to 9 x 10^18")
    if not isinstance(stamp.topic, str) or stamp.phase not in ("warmup", "measure"):
        raise StampError("topic must be text, phase 'warmup' or 'measure'")
    if not isinstance(stamp.stream, str) or parse_id(stamp.id) is None:
        raise StampError("stream must be 1 to 32 characters of a-z and 0-9, seq below 10^18")
    return stamp


def read_received(data: str) -> ReceivedEvent | None:
    """Read an event of `encode` as a replica passes it on; None for anything else, which may still be an event."""
    match = _EXACT_RECEIVED.match(data) if len(data) <= SHORT_BYTES else None
    if match is None:
        return None
    server, received_ns, stream, seq, topic, phase, due_ns, sent_ns, pad = match.groups()
    stamp = Stamp(stream, int(seq), topic, "warmup" if phase == "warmup" else "measure", int(due_ns), int(sent_ns))
    return ReceivedEvent(stamp, server, int(received_ns), pad)


def _decode_compact(match: re.Match[bytes], payload: bytes, topic: str) -> Stamp:
    if not payload.isascii():
        try:
            payload.decode()
        except UnicodeDecodeError:
            raise StampError("not UTF-8") from None
    stream, seq, letter, due, late = match.groups()
    due_us = int(due, 16)
    sent_us = due_us + int(late, 16)
    phase = _PHASES[letter.decode()]
    return Stamp(stream.decode(), int(seq), topic, phase, due_us * _NS_PER_US, sent_us * _NS_PER_US)


def pass_on_compact(stamp: Stamp, published: bytes, received_ns: int) -> bytes:
    """The `data:` of an event with a compact stamp: everything after the id, and received - sent."""
    head, _, payload = published.partition(b" ")
    since_us = received_ns // _NS_PER_US - stamp.sent_ns // _NS_PER_US
    return b"%b.%x %b" % (head[len(stamp.id) :], since_us, payload)


def read_passed_on(data: str) -> ReceivedStamp | None:
    """Read what `pass_on_compact` wrote; None for anything else."""
    match = _RECEIVED.match(data)
    if match is None:
        return None
    letter, due, late, since = match.groups()
    due_us = int(due, 16)
    sent_us = due_us + int(late, 16)
    received_us = sent_us + int(since, 16)
    return ReceivedStamp(
        _PHASES[letter], due_us * _NS_PER_US, sent_us * _NS_PER_US, received_us * _NS_PER_US, data[match.end() :]
    )
