"""uvicorn's httptools protocol, which also lends a stream the connection's transport and keeps bad clients in bounds.

The connection is offered as the ASGI extension EXTENSION. Whoever takes it writes framed bytes to its transport once the
response has begun. What uvicorn does for each `send` (a coroutine, a dictionary, a join) is then not paid for each
delivery, and what it keeps for a request (a task, the application's frames, the parser) is not kept for each client.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from server.connection_limits import ConnectionLimits
from server.request_faults import explain, refusal, require_host

EXTENSION = "fanbench.connection"
MAX_HEAD_BYTES = 64 * 1024
SLICE_BYTES = 2048
"""What is parsed at once: some hundred of the smallest requests, a millisecond of work. A usual head is one slice."""


class Listener(Protocol):
    """Whoever took a connection, told what becomes of it."""

    def paused(self) -> None:
        """More than the transport's high-water mark is unsent."""

    def resumed(self) -> None:
        """Less than its low-water mark is unsent again."""

    def half_closed(self) -> None:
        """The client will send nothing more, and may still listen."""

    def leaving(self) -> None:
        """The client has said goodbye, or nonsense, and was answered: nothing may be sent to it any more."""

    def lost(self) -> None:
        """The connection is gone."""


class RequestHead:
    """Stands in for the transport while the response begins: its head leaves with the first bytes of the stream."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Keep these bytes."""
        self.parts.append(data)


class StreamProtocol(HttpToolsProtocol):
    """One HTTP connection."""

    def __init__(self, connection_limits: ConnectionLimits, **uvicorn_arguments: Any) -> None:
        super().__init__(**uvicorn_arguments)
        self._doorway = connection_limits
        self._head_bytes = 0
        self._listener: Listener | None = None
        self._slice = b""
        """What the parser was fed last."""
        self._in_body = False
        """The request's head is whole and its body is not."""
        self._held = b""
        """What came behind a request that has no answer yet."""
        self._refusal = b""
        """The answer to what could not be read, which waits for those before it."""
        self.half_closed = False
        """The client sends no more, and waits for its answers."""
        self.descriptor = -1
        """The socket's, for those who send past the transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or turn it away when there are too many.

        It does what uvicorn's does, but asks once for the socket, which uvloop makes anew each time it is asked.
        """
        sock = transport.get_extra_info("socket")
        self.descriptor = sock.fileno()
        self.connections.add(self)
        self.transport, self.flow, self.scheme = transport, FlowControl(transport), "http"
        self.server = sock.getsockname()[:2]
        with contextlib.suppress(OSError):  # a client that is gone has no address any more
            self.client = sock.getpeername()[:2]
        if not self._doorway.enter(self, len(self.connections)):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, a slice at a time; a stream's client has nothing more to say."""
        if self._listener is not None or self._refusal:
            return
        if self._held:
            self._held += data
        else:
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._is_answering():
                self._held = data[at:]
                self.flow.pause_reading()
                return
            self._slice = data[at : at + SLICE_BYTES]
            at += len(self._slice)
            self._head_bytes += len(self._slice)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._doorway.leave(self)
                self.refuse(
                    b"431 Request Header Fields Too Large", "the request's head is over 64 KiB; send less in it"
                )
                return
            self._doorway.owe(self)  # uvicorn's own timer ends with the first byte
            super().data_received(self._slice)
            if self.transport.is_closing() or self._refusal:
                return
            if self.transport.get_protocol() is not self:  # a WebSocket from here on
                if at < len(data):
                    self.transport.get_protocol().data_received(data[at:])  # type: ignore[attr-defined]
                return

    def _is_answering(self) -> bool:
        """A request is whole and has no whole answer yet: the next one waits, as its bytes."""
        return self.cycle is not None and not self.cycle.response_complete and not self._in_body

    def on_message_begin(self) -> None:
        """Offer the connection in the request's scope; a request may begin with the bytes that end the one before."""
        self._doorway.owe(self)
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]

    def on_headers_complete(self) -> None:
        """Begin with the request, unless it breaks a rule that the parser does not know."""
        require_host(self.parser.get_http_version(), self.headers)
        self._in_body = True
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Begin with the request when it is its turn."""
        self._doorway.admit(functools.partial(super()._start_asgi_task, cycle, app))

    def on_body(self, body: bytes) -> None:
        """A body has its own bound, uvicorn's flow control."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole; the next head on this connection starts at nothing."""
        self._doorway.leave(self)
        self._head_bytes = 0
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with what came in the meantime; after the last answer, close a connection that says nothing more."""
        super().on_response_complete()
        if self.transport.is_closing() or self._is_answering():
            return
        held, self._held = self._held, b""
        self._feed(held)
        if self.transport.is_closing() or self._is_answering():
            return
        if self._refusal:
            self.transport.write(self._refusal)
        if self._refusal or self.half_closed:
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more: it gets the answers that it waits for, or the end of its stream (RFC 9112, 9.6)."""
        if self._listener is not None:
            self._listener.half_closed()
        self.half_closed = self._listener is None and (self._is_answering() or bool(self._held))
        return self.half_closed

    def send_400_response(self, _: str) -> None:
        """Say what was wrong, behind the answers to the requests before."""
        self._doorway.leave(self)
        answer = refusal(b"400 Bad Request", explain(sys.exception(), self._slice))
        if self._is_answering():
            self._refusal = answer
        else:
            self.transport.write(answer)
            self.transport.close()

    def refuse(self, status: bytes, words: str) -> None:
        """Answer a connection without a request, and close it."""
        if not self.transport.is_closing():
            self.transport.write(refusal(status, words))
            self.transport.close()

    def take(self, scope: Mapping[str, Any], listener: Listener) -> asyncio.Transport | None:
        """Lend the transport to `listener` until the connection ends; call it before the response starts.

        Returns None if the connection is gone, or a further request came on it, which could never be answered.
        """
        further = self.pipeline or self._held or self._refusal
        if self.transport.is_closing() or further or self.cycle.scope["extensions"] is not scope["extensions"]:
            return None
        if scope["http_version"] == "1.0":
            self.cycle.chunked_encoding = False  # uvicorn would send chunks, which HTTP/1.0 does not know
        self._listener = listener
        self.cycle.transport = RequestHead()  # type: ignore[assignment]
        self._doorway.leave(self)  # also where a body was announced that never came: nobody waits for it
        return self.transport

    def detach(self) -> bytes:
        """The response has begun, and the listener will see to its end: let go of the request and all that served it.

        For uvicorn the response is then complete, so the application may return, and a stream needs no task. Returns
        the head of the response, which is to be sent before anything else.
        """
        head = self.cycle.transport
        assert isinstance(head, RequestHead)
        self.cycle.response_complete = True
        self.flow.resume_reading()  # or the end of the connection would not be seen
        self.cycle = self.scope = self.headers = self.parser = None  # type: ignore[assignment]
        return b"".join(head.parts)

    def pause_writing(self) -> None:
        """The transport holds too much."""
        if self._listener is not None:
            self._listener.paused()
        else:
            super().pause_writing()

    def resume_writing(self) -> None:
        """The transport has sent enough of it."""
        if self._listener is not None:
            self._listener.resumed()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever took the connection, at once: nothing may be written to it any more."""
        self._doorway.leave(self)
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.lost()
        super().connection_lost(exc)
