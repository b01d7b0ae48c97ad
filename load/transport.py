"""The transports of a client and their differences: the request, the response, how bytes become events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from core.endpoint.origin import Origin
from core.sse import SSEEvent, SSEParser, read_whole
from load.http1 import ChunkedBody, PlainBody, ResponseHead, encode_request, sole_chunk
from load.websocket import MessageFrames, MessageParser, encode_upgrade, require_upgraded


class Framing(Protocol):
    """How a transport wraps the stream; `reply` is our pending answer to the bytes so far."""

    between: bool
    ended: bool
    reply: bytes

    def feed(self, data: bytes) -> list[bytes]: ...


class Parser(Protocol):
    """Turns unwrapped pieces into events."""

    @property
    def idle(self) -> bool: ...

    @property
    def retry_ms(self) -> int | None: ...

    def feed(self, chunk: bytes) -> list[SSEEvent]: ...


def _sse_between_events() -> SSEParser:
    parser = SSEParser()
    parser.feed(b"\n")  # past the start of the stream, where a byte-order mark may be
    return parser


def _not_one(_: bytes) -> bytes | None:
    return None


def _no_event(_: bytes) -> SSEEvent | None:
    return None


def _as_it_is(data: bytes) -> bytes | None:
    return data


@dataclass(frozen=True, slots=True)
class WireFormat:
    """How the bytes of a connection become events."""

    framing: Callable[[], Framing]
    parser: Callable[[], Parser]
    """Makes the parser for the start of a stream."""
    between: Callable[[], Parser]
    """Makes the parser for a stream that is between two events."""
    sole_piece: Callable[[bytes], bytes | None] = _not_one
    """Returns what is in the framing if there is exactly one complete piece.

    None for anything else, which needs `framing`.
    """
    whole: Callable[[bytes], SSEEvent | None] = _no_event
    """Returns the event of a piece that has the form that replicas write.

    None for anything else, which needs `between`.
    """


CHUNKED = WireFormat(ChunkedBody, SSEParser, _sse_between_events, sole_chunk, read_whole)
PLAIN = WireFormat(PlainBody, SSEParser, _sse_between_events, _as_it_is, read_whole)
MESSAGES = WireFormat(MessageFrames, MessageParser, MessageParser)


class Request(Protocol):
    """Return the bytes of the request for a topic's stream."""

    def __call__(self, origin: Origin, topic: str, *, last_event_id: str = "", token: str = "") -> bytes: ...


@dataclass(frozen=True, slots=True)
class Transport:
    """One way to a replica."""

    name: str
    request: Request
    wire_format: Callable[[ResponseHead], WireFormat]
    """Return what follows a response's head; raises Http1Error unless that begins a stream."""


def _sse(head: ResponseHead) -> WireFormat:
    head.require_stream()
    return CHUNKED if head.chunked else PLAIN


def _websocket(head: ResponseHead) -> WireFormat:
    require_upgraded(head)
    return MESSAGES


SSE = Transport("SSE", encode_request, _sse)
WEBSOCKET = Transport("WS", encode_upgrade, _websocket)
