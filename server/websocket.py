"""GET /ws: the same events over a WebSocket, one JSON text frame each, from the same hub."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto import events
from wsproto.connection import ConnectionState
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import ProtocolError

from server.client import Client
from server.connection_writer import TransportWriter
from server.frame import Wire
from server.hub import Hub
from server.inbound_budget import InboundBudget
from server.lent_connection import EXTENSION, Listener, forget_scope
from server.origins import ANY, is_same_site, read_origins
from server.settings import ServerSettings
from server.stream import Admitted, StreamSettings, join

MAX_MESSAGE_BYTES = 4096
"""Maximum size of a client's message; clients have nothing to send."""
MAX_FRAMES_PER_S = 1_000
MAX_BYTES_PER_S = 64 * 1024
MAX_EARLY_BYTES = 128 * 1024
"""Maximum input before the handshake is answered, including its head."""
SLICE_BYTES = 1024
"""Bytes parsed at once: about 170 empty frames."""
LINGER_S = 1.0
"""How long a closed client may take to read the reason before its connection is cut."""


class SocketProtocol(WSProtocol):
    """uvicorn's wsproto protocol, which lends a stream the connection's transport as server.protocol does.

    Once it is lent, this class reads what arrives, within limits: uvicorn would accept any number of frames at once.
    """

    _listener: Listener | None = None
    _early_bytes = 0
    _message_bytes = 0

    def handle_connect(self, event: events.Request) -> None:
        """Offer the connection in the request's scope."""
        super().handle_connect(event)
        self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]

    def take(self, listener: Listener) -> asyncio.Transport | None:
        """Lend the transport to `listener`; None if the connection is closed."""
        if self.transport.is_closing():
            return None
        self._listener = listener
        self._budget = InboundBudget(MAX_BYTES_PER_S, MAX_FRAMES_PER_S)
        return self.transport

    def detach(self) -> None:
        """The handshake is done, and the listener handles the end: the application may return."""
        # uvicorn closes the connection of an application that returns, unless a close is already in flight.
        self.close_timer = self.loop.call_later(0, bool)

    def data_received(self, data: bytes) -> None:
        """Answer the frames that arrived; after a close frame or a protocol error, no event may follow."""
        if self.transport.is_closing():
            return
        if self._listener is None:
            self._early_bytes += len(data)
            if self._early_bytes > MAX_EARLY_BYTES:
                self.transport.close()
            else:
                super().data_received(data)
        elif not self._budget.take_read(len(data), self.loop.time()):
            self._refuse(CloseReason.POLICY_VIOLATION, f"over {MAX_BYTES_PER_S} bytes in a second")
        else:
            for at in range(0, len(data), SLICE_BYTES):
                if not self._read(data[at : at + SLICE_BYTES]):
                    return

    def _read(self, data: bytes) -> bool:
        """Handle the messages that these bytes complete; False once the connection is closing."""
        try:
            self.conn.receive_data(data)
            return all(map(self._handle, self.conn.events()))
        except ProtocolError:  # bytes after a close frame
            self._leave()
            return False

    def _handle(self, event: events.Event) -> bool:
        if isinstance(event, events.CloseConnection):
            # The answer to its close frame, or wsproto's answer to a protocol error.
            if self.conn.state is ConnectionState.REMOTE_CLOSING:
                self.transport.write(self.conn.send(event.response()))
                self._leave()
            else:
                self._refuse(event.code, event.reason or "")
            return False
        if isinstance(event, events.Message):
            self._message_bytes += len(event.data)
            if self._message_bytes > MAX_MESSAGE_BYTES:
                self._refuse(CloseReason.MESSAGE_TOO_BIG, f"over {MAX_MESSAGE_BYTES} bytes in a message")
                return False
            if event.message_finished:
                self._message_bytes = 0
            if not event.frame_finished:
                return True
        if not self._budget.take_frame():
            self._refuse(CloseReason.POLICY_VIOLATION, f"over {MAX_FRAMES_PER_S} frames in a second")
            return False
        if isinstance(event, events.Ping):
            self.transport.write(self.conn.send(event.response()))
        return True

    def _leave(self) -> None:
        assert self._listener is not None
        self._listener.leaving()
        self.transport.close()

    def _refuse(self, code: int, reason: str) -> None:
        """Close with a code, after a wait: closing with unread bytes would reset the connection before the code is read."""
        assert self._listener is not None
        if self.conn.state is ConnectionState.OPEN:
            self.transport.write(self.conn.send(events.CloseConnection(code, reason)))
        self._listener.leaving()
        self.transport.pause_reading()
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.abort)

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
        """Notify the connection's owner at once."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.lost()
        super().connection_lost(exc)
        if listener is not None:
            forget_scope(self.scope)


def require_origin(connection: HTTPConnection, settings: ServerSettings) -> None:
    """Refuse pages of other sites: unlike with EventSource, browsers open a WebSocket without asking the server.

    Raises:
        HTTPException: 403, the page's origin is neither this host nor in the settings.
    """
    origin = connection.headers.get("origin")
    if origin is None or is_same_site(origin, connection.headers.get("host")):
        return
    allowed = read_origins(settings.cors_origins)
    if origin not in allowed and ANY not in allowed:
        raise HTTPException(403, "pages of that origin may not listen; name it in FANBENCH_CORS_ORIGINS")


def require_transport(connection: HTTPConnection) -> None:
    """Refuse if the connection is not available.

    Raises:
        HTTPException: 501, if the application does not run under `python -m server`.
    """
    if EXTENSION not in connection.scope.get("extensions", {}):
        raise HTTPException(501, "this ASGI server lends no transport; run 'python -m server', or use /sse")


async def serve_socket(websocket: WebSocket, hub: Hub, settings: StreamSettings, admitted: Admitted) -> None:
    """Open one client's stream and return; after that only the hub and its connection refer to it."""
    extensions: Mapping[str, Any] = websocket.scope.get("extensions", {})
    connection: SocketProtocol = extensions[EXTENSION]
    writer = TransportWriter(hub, Wire.WEBSOCKET, settings.client_buffer_bytes, admitted.release)
    transport = connection.take(writer)
    if transport is None:
        admitted.release()
        return
    writer.attach(transport, transport.get_extra_info("socket").fileno())
    await websocket.accept()
    if writer.gone:
        return
    connection.detach()
    writer.client = Client(admitted.topics, writer)
    join(hub, settings, writer.client, admitted)
