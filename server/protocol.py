"""uvicorn's httptools protocol, which also exposes the connection's transport to a stream, and limits misbehaving clients.

The connection is offered as the ASGI extension EXTENSION. Its user writes framed bytes to the transport once the
response has begun. This saves uvicorn's work for each `send` (a coroutine, a dictionary, a join) on each delivery, and
its state for a request (a task, the application's frames, the parser) for each client.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from server.connection_limits import ConnectionLimits
from server.inbound_budget import InboundBudget
from server.lent_connection import EXTENSION, Listener, RequestHead, forget_scope
from server.request_faults import explain, refusal, require_host

MAX_HEAD_BYTES = 64 * 1024
"""Limit of a request's head, and of its body, which no endpoint uses."""
SLICE_BYTES = 2048
"""Bytes parsed at once: about a hundred of the smallest requests, 1 ms of work. A typical head is one slice."""
TURN_BYTES = 16 * 1024
"""Bytes parsed per connection and turn of the event loop."""
MAX_STREAM_BYTES_PER_S = 256 * 1024
"""Limits of what a stream's client may send."""


class StreamProtocol(HttpToolsProtocol):
    """One HTTP connection."""

    def __init__(self, connection_limits: ConnectionLimits, **uvicorn_arguments: Any) -> None:
        super().__init__(**uvicorn_arguments)
        self._doorway = connection_limits
        self._head_bytes = 0
        """Bytes of the incoming head or body."""
        self._listener: Listener | None = None
        self._budget: InboundBudget | None = None
        self._slice = b""
        """The parser's latest input."""
        self._in_body = False
        """The request's head is complete, its body is not."""
        self._held = b""
        """Input after a request that has no answer yet."""
        self._refusal = b""
        """The answer to unreadable input, which waits for earlier answers."""
        self.half_closed = False
        """The client has stopped sending and waits for its answers."""
        self.descriptor = -1
        """The socket's descriptor, for senders that bypass the transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, or refuse it if there are too many.

        Like uvicorn's own, but it asks for the socket once: uvloop makes a new object for each request.
        """
        sock = transport.get_extra_info("socket")
        self.descriptor = sock.fileno()
        self.connections.add(self)
        self.transport, self.flow, self.scheme = transport, FlowControl(transport), "http"
        self.server = sock.getsockname()[:2]
        with contextlib.suppress(OSError):  # a disconnected client has no address
            self.client = sock.getpeername()[:2]
        if not self._doorway.enter(self, len(self.connections)):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, one slice at a time; a stream's client should send nothing more."""
        if self._listener is not None:
            self._budget = self._budget or InboundBudget(MAX_STREAM_BYTES_PER_S)
            if not self._budget.take_read(len(data), self.loop.time()):
                self._listener.flooding()
        elif self._held:
            self._held += data
        elif not self._refusal:
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        for at in range(0, len(data), SLICE_BYTES):
            if self._is_answering() or at >= TURN_BYTES:
                self._hold(data[at:])
                return
            self._slice = data[at : at + SLICE_BYTES]
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
                forget_scope(self.scope)
                self.parser = self.scope = self.headers = None  # type: ignore[assignment]
                if rest := data[at + SLICE_BYTES :]:
                    self.transport.get_protocol().data_received(rest)  # type: ignore[attr-defined]
                return

    def _refuse_size(self) -> None:
        self._doorway.leave(self)
        if not self._in_body:
            self.refuse(b"431 Request Header Fields Too Large", "the request's head is over 64 KiB; send less in it")
        elif self.cycle.response_started:
            self.transport.close()
        else:
            self.refuse(b"413 Content Too Large", "the request's body is over 64 KiB; no endpoint reads one")

    def _hold(self, data: bytes) -> None:
        """Continue with these bytes when the current answer is complete, or in the next turn of the event loop."""
        self._held = data
        self.flow.pause_reading()
        if not self._is_answering():
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._held and not self._is_answering() and not self.transport.is_closing() and self._listener is None:
            held, self._held = self._held, b""
            self.flow.resume_reading()
            self._feed(held)

    def _is_answering(self) -> bool:
        """A request is complete without a complete answer: the next one waits as bytes."""
        return self.cycle is not None and not self.cycle.response_complete and not self._in_body

    def on_message_begin(self) -> None:
        """Offer the connection in the request's scope; a request may begin with the bytes that end the one before."""
        self._doorway.owe(self)
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]

    def on_headers_complete(self) -> None:
        """Start the request, unless it breaks a rule that the parser does not know."""
        require_host(self.parser.get_http_version(), self.headers)
        self._head_bytes = 0
        self._in_body = True
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start the request when it is its turn."""
        self._doorway.admit(functools.partial(super()._start_asgi_task, cycle, app))

    def on_message_complete(self) -> None:
        """The request is complete; the next head on this connection starts from zero."""
        self._doorway.leave(self)
        self._head_bytes = 0
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Continue with bytes that arrived meanwhile; after the last answer, close a connection that stays silent."""
        super().on_response_complete()
        self._go_on()
        if self.transport.is_closing() or self._is_answering() or self._held:
            return
        if self._refusal:
            self.transport.write(self._refusal)
        if self._refusal or self.half_closed:
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client has stopped sending: it gets its pending answers, or the end of its stream (RFC 9112, 9.6)."""
        if self._listener is not None:
            self._listener.half_closed()
        self.half_closed = self._listener is None and (self._is_answering() or bool(self._held))
        return self.half_closed

    def send_400_response(self, _: str) -> None:
        """Report the error, after the answers to earlier requests."""
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

        Returns None if the connection is gone, or another request came on it, which could never be answered.
        """
        further = self.pipeline or self._held or self._refusal
        if self.transport.is_closing() or further or self.cycle.scope["extensions"] is not scope["extensions"]:
            return None
        if scope["http_version"] == "1.0":
            self.cycle.chunked_encoding = False  # uvicorn would send chunks, which HTTP/1.0 lacks
        self._listener = listener
        self.cycle.transport = RequestHead()  # type: ignore[assignment]
        self._doorway.leave(self)  # also if an announced body never arrived: nobody waits for it
        return self.transport

    def detach(self) -> bytes:
        """The response has begun and the listener will end it: release the request and everything that served it.

        For uvicorn the response is complete, so the application may return, and a stream needs no task. Returns the
        response head, which must be sent before anything else.
        """
        head = self.cycle.transport
        assert isinstance(head, RequestHead)
        self.cycle.response_complete = True
        self.flow.resume_reading()  # otherwise the end of the connection would not be noticed
        self.cycle = self.scope = self.headers = self.parser = None  # type: ignore[assignment]
        return b"".join(head.parts)

    def pause_writing(self) -> None:
        """The transport's buffer is too full."""
        if self._listener is not None:
            self._listener.paused()
        else:
            super().pause_writing()

    def resume_writing(self) -> None:
        """The transport's buffer has drained enough."""
        if self._listener is not None:
            self._listener.resumed()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the connection's user at once: nothing more may be written to it."""
        self._doorway.leave(self)
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.lost()
        super().connection_lost(exc)
        if self.cycle is not None and self.cycle.response_complete:
            # They form a reference cycle with this connection, which only a rare full garbage collection would find.
            forget_scope(self.cycle.scope)
            self.cycle = self.scope = self.headers = None  # type: ignore[assignment]
