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

from server.client import Client
from server.connection_writer import TransportWriter
from server.frame import Wire
from server.hub import Hub
from server.origins import ANY, is_same_site, read_origins
from server.protocol import EXTENSION, Listener
from server.settings import ServerSettings
from server.stream import Admitted, StreamSettings, join

MAX_MESSAGE_BYTES = 4096
"""What a client may send at once; it has nothing to say."""


class SocketProtocol(WSProtocol):
    """uvicorn's wsproto protocol, which lends a stream the connection's transport as server.protocol does."""

    _listener: Listener | None = None

    def handle_connect(self, event: events.Request) -> None:
        """Offer the connection in the request's scope."""
        super().handle_connect(event)
        self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]

    def take(self, listener: Listener) -> asyncio.Transport | None:
        """Lend the transport to `listener`; None if the connection is gone."""
        if self.transport.is_closing():
            return None
        self._listener = listener
        return self.transport

    def detach(self) -> None:
        """The handshake is done, and the listener will see to the end: the application may return."""
        # uvicorn closes the connection of an application that returns, unless a close is under way already.
        self.close_timer = self.loop.call_later(0, bool)

    def data_received(self, data: bytes) -> None:
        """Answer what came; after a close frame, or what is none of the protocol, no event may follow."""
        super().data_received(data)
        if self._listener is not None and self.transport.is_closing():
            self._listener.leaving()

    def handle_message(self, event: events.TextMessage | events.BytesMessage) -> None:
        """A stream's client has nothing to say; uvicorn would stop reading, and never see it leave."""
        if self._listener is None:
            super().handle_message(event)

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
        """Tell whoever took the connection, at once."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.lost()
        super().connection_lost(exc)


def require_origin(connection: HTTPConnection, settings: ServerSettings) -> None:
    """Refuse pages of other sites: browsers ask nobody before they open a WebSocket, unlike with EventSource.

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
    """Refuse where the connection is not lent.

    Raises:
        HTTPException: 501, another server than `python -m server` runs the application.
    """
    if EXTENSION not in connection.scope.get("extensions", {}):
        raise HTTPException(501, "this ASGI server lends no transport; run 'python -m server', or use /sse")


async def serve_socket(websocket: WebSocket, hub: Hub, settings: StreamSettings, admitted: Admitted) -> None:
    """Open one client's stream and return: from then on it lives in the hub and in its connection alone."""
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
