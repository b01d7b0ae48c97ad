"""The part of WebSocket that a stream of text messages needs: handshake, frames, the answer to a ping.

wsproto writes our frames. Received bytes are parsed here, in a quarter of the time or less (docs/decisions/0006).
"""

from __future__ import annotations

from urllib.parse import quote

import orjson
from wsproto.frame_protocol import FrameProtocol
from wsproto.utilities import generate_accept_token, generate_nonce

from core.endpoint.origin import Origin
from core.sse import SSEEvent
from load.http1 import Http1Error, ResponseHead

_KEY = generate_nonce()  # RFC 6455 requires one for each connection; one for each process is enough for the check
_ACCEPT = generate_accept_token(_KEY).decode()
_CONTROL = FrameProtocol(client=True, extensions=[])
_CONTINUATION, _TEXT, _CLOSE, _PING, _PONG = 0, 1, 8, 9, 10
_MAX_CONTROL_BYTES = 125
MAX_MESSAGE_BYTES = 16 * 1024 * 1024


def encode_upgrade(origin: Origin, topic: str, *, last_event_id: str = "", token: str = "") -> bytes:
    """Return the request for a WebSocket with the events of one topic (RFC 6455, section 4.1)."""
    resume = f"&last_event_id={quote(last_event_id, safe='')}" if last_event_id else ""
    lines = [
        f"GET {origin.prefix}/ws?topic={quote(topic, safe='')}{resume} HTTP/1.1",
        f"Host: {origin.authority}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {_KEY.decode()}",
    ]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def require_upgraded(head: ResponseHead) -> None:
    """Raise Http1Error, with the received status, unless the connection is now a WebSocket."""
    if head.status != 101:
        raise Http1Error(f"status {head.status}")
    if head.headers.get("sec-websocket-accept") != _ACCEPT:
        raise Http1Error("an answer to another handshake: Sec-WebSocket-Accept does not fit the key")


class MessageFrames:
    """Unframes text messages, wherever their bytes are cut (RFC 6455, section 5.2).

    `between` is true when the last byte fed ended a message; `ended` once the server has announced its close. `reply`
    has our pending answers: a pong for each ping, and the answer to a close.
    """

    __slots__ = ("_held", "_message", "between", "ended", "reply")

    def __init__(self) -> None:
        self.between = True
        self.ended = False
        self.reply = b""
        self._held = b""  # the beginning of a frame that was cut
        self._message: list[bytes] | None = None  # the fragments so far of a message in several frames

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the messages that they complete.

        Raises:
            Http1Error: the bytes are not frames of a server, or a message is not text.
        """
        data = self._held + data
        messages: list[bytes] = []
        at = 0
        while not self.ended and (frame := _frame(data, at)) is not None:
            final, opcode, start, at = frame
            self._take(final, opcode, data[start:at], messages)
        self._held = data[at:]
        self.between = not self._held and self._message is None
        return messages

    def _take(self, final: bool, opcode: int, body: bytes, messages: list[bytes]) -> None:
        if opcode >= _CLOSE and not (final and len(body) <= _MAX_CONTROL_BYTES):
            raise Http1Error(f"a control frame in parts, or over {_MAX_CONTROL_BYTES} bytes")
        if opcode == _PING:
            self.reply += _CONTROL.pong(body)
        elif opcode == _CLOSE:
            self.ended = True
            self.reply += _CONTROL.close(int.from_bytes(body[:2], "big") if len(body) > 1 else None)
        elif opcode in (_TEXT, _CONTINUATION):
            if (opcode == _TEXT) != (self._message is None):
                raise Http1Error("a message's frames out of order")
            fragments = [*(self._message or ()), body]
            self._message = None if final else fragments
            if final:
                messages.append(b"".join(fragments))
        elif opcode != _PONG:
            raise Http1Error(f"a frame of opcode {opcode} instead of text")


def _frame(data: bytes, at: int) -> tuple[bool, int, int, int] | None:
    """Whether it is a message's last, its opcode, and where its payload begins and ends; None if incomplete."""
    if len(data) < at + 2:
        return None
    first, size = data[at], data[at + 1]
    if first & 0x70 or size & 0x80:
        raise Http1Error(f"{data[at : at + 2]!r} is not the head of an unmasked frame without extensions")
    start = at + 2
    if size >= 126:
        wide = 2 if size == 126 else 8
        start += wide
        if len(data) < start:
            return None
        size = int.from_bytes(data[start - wide : start], "big")
        if size > MAX_MESSAGE_BYTES:
            raise Http1Error(f"a frame of {size} bytes; the limit is {MAX_MESSAGE_BYTES}")
    return (bool(first & 0x80), first & 0x0F, start, start + size) if len(data) >= start + size else None


class MessageParser:
    """Converts a replica's messages to SSE events. `retry_ms` arrives with its greeting."""

    __slots__ = ("idle", "retry_ms")

    def __init__(self) -> None:
        self.idle = True
        self.retry_ms: int | None = None

    def feed(self, message: bytes) -> list[SSEEvent]:
        """Take one message: a greeting is not an event, a gap is marked as such, everything else is an event with its stamp as id."""
        text = message.decode("utf-8", "replace")
        try:
            fields = orjson.loads(message)
            kind = fields.get("event", "message")
            if kind == "open":
                self.retry_ms = int(fields["retry_ms"])
                return []
            return [SSEEvent(str(kind), text, f"{fields['stream']}-{fields['seq']}" if kind == "message" else "")]
        except (ValueError, LookupError, TypeError, AttributeError):
            return [SSEEvent("message", text, "")]
