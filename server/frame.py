"""The bytes that a replica writes: each event is encoded once, whatever the number of clients."""

from __future__ import annotations

import enum
import json
import random
from collections.abc import Mapping, Sequence

import orjson

from core.sse import encode_comment, encode_event
from core.stamp import Stamp, pass_on_compact

OPENINGS = 64
"""Number of different retry times: with the default of 1 s, one every 16 ms."""


class Wire(enum.Enum):
    """How the bytes of a stream are framed."""

    CHUNKED = "chunked"
    """SSE in HTTP/1.1 chunks, one event to a chunk (RFC 9112, section 7.1)."""
    PLAIN = "plain"
    """Plain SSE: HTTP/1.0, or a server that does its own framing."""
    WEBSOCKET = "websocket"
    """The event's JSON in one text frame (RFC 6455, section 5.2)."""


def chunk(body: bytes) -> bytes:
    """`body` as one HTTP/1.1 chunk; it must not be empty, because that would end the stream."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def text_frame(data: bytes) -> bytes:
    """`data` (UTF-8) as one unmasked WebSocket text frame, as servers send them."""
    size = len(data)
    if size < 126:
        return b"\x81%c%b" % (size, data)
    if size < 65_536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), data)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), data)


class Frame:
    """One event as every client gets it. For a gap, which is not a published event, `stream` is empty and `seq` is -1."""

    __slots__ = ("chunk", "order", "sent_ns", "seq", "stream", "topic", "total_bytes")

    def __init__(self, topic: str, stream: str, seq: int, sent_ns: int, body: bytes) -> None:
        self.topic = topic
        self.stream = stream
        self.seq = seq
        self.sent_ns = sent_ns
        self.chunk = chunk(body)
        self.order = 0
        """Its position among all frames of the replica; set when it enters a history."""
        self.total_bytes = 0
        """Bytes of its topic's frames up to and including this one; set when it enters a history."""

    @property
    def body(self) -> bytes:
        """The SSE block without the chunk around it."""
        return self.chunk[self.chunk.index(b"\n") + 1 : -2]

    def on(self, wire: Wire) -> bytes:
        """The bytes for this wire."""
        if wire is Wire.CHUNKED:
            return self.chunk
        if wire is Wire.PLAIN:
            return self.body
        data = self.chunk[self.chunk.index(b"\ndata: ") + 7 : -4]
        if self.seq < 0:
            data = b'{"event":"gap",' + data[1:]
        elif not data.startswith(b"{"):
            data = f"{self.stream}-{self.seq}".encode() + data  # a compact stamp, as it was published
        return text_frame(data)


def join(frames: Sequence[Frame], wire: Wire) -> bytes:
    """Several frames as one write."""
    return frames[0].on(wire) if len(frames) == 1 else b"".join([frame.on(wire) for frame in frames])


def count_events(frames: Sequence[Frame]) -> int:
    """How many of the frames are published events."""
    if len(frames) == 1:
        return int(frames[0].seq >= 0)
    return sum(frame.seq >= 0 for frame in frames)


class FrameMaker:
    """Builds the frames of one replica."""

    __slots__ = ("_prefix", "_server")

    def __init__(self, server: str) -> None:
        self._server = server
        self._prefix = b'{"server":%b,"received_ns":' % orjson.dumps(server)

    def event(self, stamp: Stamp, payload: bytes, received_ns: int) -> Frame:
        """`id: STREAM-SEQ`, and the published event with its arrival.

        A readable event gets `server` and `received_ns` as its first fields, a compact stamp gets received - sent.
        """
        head = f"id: {stamp.stream}-{stamp.seq}\ndata: ".encode()
        if payload.startswith(b"{"):
            body = b"%b%b%d,%b\n\n" % (head, self._prefix, received_ns, payload[1:])
        else:
            body = b"%b%b\n\n" % (head, pass_on_compact(stamp, payload, received_ns))
        return Frame(stamp.topic, stamp.stream, stamp.seq, stamp.sent_ns, body)

    def gap(self, topic: str, cause: str, lost: int | None, sent_ns: int) -> Frame:
        """`event: gap` with `{"server","cause","lost","topic"}`; it does not change the client's last event id."""
        fields = {"server": self._server, "cause": cause, "lost": lost, "topic": topic}
        # Not orjson: it refuses halves of surrogate pairs, which a broker's message may contain.
        return Frame(topic, "", -1, sent_ns, encode_event(json.dumps(fields, separators=(",", ":")), event="gap"))


class Openings:
    """The opening of every stream, which shows a client at once that it is connected.

    With SSE it is a comment with `retry:`, with a WebSocket `{"event":"open","server","retry_ms"}`. Clients whose
    streams ended together must not return together, so each gets its own time, from 0.5x to 1.5x `retry_ms`.
    """

    __slots__ = ("_by_wire",)

    def __init__(self, server: str, retry_ms: int) -> None:
        last = OPENINGS - 1
        self._by_wire: dict[Wire, list[bytes]] = {wire: [] for wire in Wire}
        for step in range(OPENINGS):
            own_ms = round(retry_ms * (0.5 + step / last))
            comment = encode_comment(f"fanbench {server}", retry_ms=own_ms)
            hello = orjson.dumps({"event": "open", "server": server, "retry_ms": own_ms})
            self._by_wire[Wire.CHUNKED].append(chunk(comment))
            self._by_wire[Wire.PLAIN].append(comment)
            self._by_wire[Wire.WEBSOCKET].append(text_frame(hello))

    def pick(self, wire: Wire) -> bytes:
        """The opening for another client."""
        return random.choice(self._by_wire[wire])


HEARTBEATS: Mapping[Wire, bytes] = {
    Wire.CHUNKED: chunk(encode_comment()),
    Wire.PLAIN: encode_comment(),
    Wire.WEBSOCKET: b"\x89\x00",  # a ping
}

ENDINGS: Mapping[Wire, bytes] = {
    Wire.CHUNKED: b"0\r\n\r\n",
    Wire.PLAIN: b"",
    Wire.WEBSOCKET: b"\x88\x02\x03\xe9",  # close, 1001: going away
}
"""The bytes that end a stream cleanly."""
