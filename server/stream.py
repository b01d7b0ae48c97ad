"""The response of GET /sse: opens the stream, hands the client to the hub, and ends when the client or the hub does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.responses import JSONResponse

from server.client import Client, State
from server.connection_writer import SendWriter, TransportWriter
from server.frame import Openings, Wire
from server.hub import Hub
from server.lent_connection import EXTENSION
from server.named_heartbeats import NamedHeartbeats
from server.protocol import StreamProtocol
from server.resume import Given, resume

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MEDIA_TYPE = "text/event-stream"
HEADERS = [
    (b"content-type", f"{MEDIA_TYPE}; charset=utf-8".encode()),
    (b"cache-control", b"no-store, no-transform"),  # no-transform: a compressor would delay events
    (b"x-accel-buffering", b"no"),  # nginx: pass each event on at once
]
PIPELINED = "a request follows /sse on the same connection and could never be answered; send it on another one"


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """State that all streams of a replica share."""

    server: str
    openings: Openings
    named_heartbeats: NamedHeartbeats
    client_buffer_bytes: int
    resume_overlap_ns: int


class Admitted(NamedTuple):
    """A client whose topics are subscribed until `release` is called, exactly once, in every case."""

    topics: Sequence[str]
    given: Given | None
    heartbeat_s: int
    """How often it wants `event: heartbeat`; 0: never."""
    release: Callable[[], None]


class EventStream:
    """The ASGI response that is one client's stream. Its topics are subscribed before it starts."""

    __slots__ = ("_admitted", "_hub", "_settings")

    def __init__(self, hub: Hub, settings: StreamSettings, admitted: Admitted) -> None:
        self._hub = hub
        self._settings = settings
        self._admitted = admitted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream over the connection's transport if it is available, otherwise with `send`."""
        connection = scope.get("extensions", {}).get(EXTENSION)
        if connection is None:
            await self._serve_by_send(receive, send)
        else:
            await self._serve_directly(connection, scope, receive, send)

    async def _serve_directly(self, connection: StreamProtocol, scope: Scope, receive: Receive, send: Send) -> None:
        """Return once the stream is open; after that only the hub and its connection refer to it."""
        wire = Wire.PLAIN if scope["http_version"] == "1.0" else Wire.CHUNKED
        writer = TransportWriter(self._hub, wire, self._settings.client_buffer_bytes, self._admitted.release)
        transport = connection.take(scope, writer)
        if transport is None:
            self._admitted.release()
            await JSONResponse({"error": PIPELINED}, 400, {"connection": "close"})(scope, receive, send)
            return
        writer.attach(transport, connection.descriptor)
        await _start(send, self._settings.server)
        if writer.gone:
            return
        head = connection.detach()
        writer.client = Client(self._admitted.topics, writer)
        join(self._hub, self._settings, writer.client, self._admitted, head)
        if connection.half_closed:
            writer.half_closed()

    async def _serve_by_send(self, receive: Receive, send: Send) -> None:
        # `send` does not report a disconnect, so `receive` is watched.
        writer = SendWriter(self._hub, self._settings.client_buffer_bytes)
        client = writer.client = Client(self._admitted.topics, writer)
        pump = asyncio.ensure_future(writer.pump(send))
        watch = asyncio.ensure_future(_disconnected(receive))
        try:
            await _start(send, self._settings.server)
            join(self._hub, self._settings, client, self._admitted)
            await asyncio.wait([pump, watch], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.leave(client, "client left")
            self._admitted.release()
            for task in (pump, watch):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pump


def join(hub: Hub, settings: StreamSettings, client: Client, admitted: Admitted, head: bytes = b"") -> None:
    """Hand an open stream to the hub, at the position of its ids; `head` must be sent first."""
    opening = head + settings.openings.pick(client.writer.wire)
    if hub.stopping:
        client.write(opening)
        client.writer.finish()
        return
    histories = {name: hub.topics[name].history for name in client.topics}
    given = admitted.given
    position = resume(given, histories, settings.resume_overlap_ns)
    hub.join(client, position, opening, from_start=given is not None and given.from_start)
    if admitted.heartbeat_s and client.state is not State.GONE:
        settings.named_heartbeats.add(client, admitted.heartbeat_s)


def stream_head(server: str) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The answer to HEAD: the head of a stream."""

    async def answer(_: Scope, __: Receive, send: Send) -> None:
        await _start(send, server)
        await send({"type": "http.response.body", "body": b""})

    return answer


async def _start(send: Send, server: str) -> None:
    headers = [*HEADERS, (b"fanbench-server", quote(server).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
