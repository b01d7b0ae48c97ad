"""The two ways to write to a client: its connection's transport, directly, or ASGI's `send`, which works everywhere."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from server.client import Client
from server.frame import ENDINGS, Wire
from server.hub import Hub

REPLAY_BUFFER_BYTES = 64 * 1024
"""Unsent bytes at which a replay waits for its client."""

Send = Callable[[dict[str, Any]], Awaitable[None]]


class TransportWriter:
    """Writes to the transport that server.protocol exposes. The transport's high-water mark detects a slow client."""

    __slots__ = (
        "_bound_bytes",
        "_hub",
        "_on_end",
        "_transport",
        "client",
        "descriptor",
        "gone",
        "held_bytes",
        "wire",
        "write",
    )

    def __init__(self, hub: Hub, wire: Wire, bound_bytes: int, on_end: Callable[[], None]) -> None:
        self._hub = hub
        self._bound_bytes = bound_bytes
        self._on_end = on_end
        self.wire = wire
        self.client: Client | None = None
        self.gone = False

    def attach(self, transport: asyncio.Transport, descriptor: int) -> None:
        """Use this transport, and its socket's descriptor."""
        self._transport = transport
        self.write = transport.write
        self.held_bytes = transport.get_write_buffer_size
        self.descriptor = descriptor
        transport.set_write_buffer_limits(high=REPLAY_BUFFER_BYTES)

    def write_many(self, parts: Sequence[bytes]) -> None:
        """Send these bytes, or hold them, without a copy."""
        self._transport.writelines(parts)

    def go_live(self) -> None:
        """Apply the full limit from now on."""
        self._transport.set_write_buffer_limits(high=self._bound_bytes)

    def finish(self) -> None:
        """End the body and close once all is sent."""
        if not self._transport.is_closing():
            self._transport.write(ENDINGS[self.wire])
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def paused(self) -> None:
        """The transport holds more than its high-water mark."""
        if self.client is not None:
            self._hub.paused(self.client)

    def resumed(self) -> None:
        """The transport's buffer has drained enough."""
        if self.client is not None:
            self._hub.resumed(self.client)

    def flooding(self) -> None:
        """The client keeps sending, which is not allowed."""
        if self.client is not None:
            self._hub.drop(self.client, "flooding")

    def half_closed(self) -> None:
        """The client has stopped sending: end its stream cleanly, because a closed client looks the same."""
        if self.client is not None:
            self._hub.end([self.client], "client left")

    def leaving(self) -> None:
        """The client reads nothing more."""
        if self.client is not None:
            self._hub.leave(self.client, "client left")

    def lost(self) -> None:
        """The connection is closed. Drop the client, so that no reference cycle waits for a full garbage collection."""
        self.leaving()
        self.client = None
        self.gone = True
        self._on_end()


class SendWriter:
    """A bounded queue in front of ASGI's `send`, for servers that expose no transport."""

    __slots__ = (
        "_bound_bytes",
        "_ended",
        "_full_bound_bytes",
        "_held_bytes",
        "_hub",
        "_parts",
        "_pumping",
        "_wake",
        "client",
        "descriptor",
        "wire",
    )

    def __init__(self, hub: Hub, bound_bytes: int) -> None:
        self._hub = hub
        self._bound_bytes = REPLAY_BUFFER_BYTES
        self._full_bound_bytes = bound_bytes
        self._parts: deque[bytes] = deque()
        self._held_bytes = 0
        self._ended = False
        self._pumping: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self.wire = Wire.PLAIN
        self.descriptor = -1
        self.client: Client | None = None

    def write(self, data: bytes) -> None:
        """Queue these bytes."""
        self._parts.append(data)
        self._held_bytes += len(data)
        self._wake.set()
        if self._held_bytes > self._bound_bytes and self.client is not None:
            self._hub.paused(self.client)

    def write_many(self, parts: Sequence[bytes]) -> None:
        """Queue these bytes."""
        self.write(b"".join(parts))

    def held_bytes(self) -> int:
        """Bytes queued."""
        return self._held_bytes

    def go_live(self) -> None:
        """Apply the full limit from now on."""
        self._bound_bytes = self._full_bound_bytes

    def finish(self) -> None:
        """Let `pump` end after the queued bytes."""
        self._ended = True
        self._wake.set()

    def abort(self) -> None:
        """End `pump` at once: it may wait for a server that waits for the client."""
        self._parts.clear()
        self._held_bytes = 0
        self.finish()
        if self._pumping is not None:
            self._pumping.cancel()

    async def pump(self, send: Send) -> None:
        """Send what is queued until the stream ends."""
        self._pumping = asyncio.current_task()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._parts:
                body = b"".join(self._parts)
                self._parts.clear()
                await send({"type": "http.response.body", "body": body, "more_body": True})
                self._held_bytes = sum(map(len, self._parts))
                if self.client is not None and self._held_bytes <= REPLAY_BUFFER_BYTES:
                    self._hub.resumed(self.client)
            if self._ended:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
