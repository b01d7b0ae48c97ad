"""The interface between a connection and the stream that uses it, for each protocol."""

from __future__ import annotations

from typing import Any, Protocol

EXTENSION = "fanbench.connection"
"""The ASGI extension with which server.protocol and server.websocket expose their connections."""


def forget_scope(scope: Any) -> None:
    """Break the reference cycles of a request's scope: to the connection, and to FastAPI's exit stacks.

    Only a full garbage collection finds a cycle. It runs rarely, because it delays every event, so each connection
    would leave a few kilobytes for a long time.
    """
    for name in [name for name in scope if name == "extensions" or name.startswith("fastapi_")]:
        del scope[name]


class Listener(Protocol):
    """The user of a connection, which is notified of its events."""

    def paused(self) -> None:
        """The transport's unsent bytes are over its high-water mark."""

    def resumed(self) -> None:
        """They are below its low-water mark again."""

    def flooding(self) -> None:
        """The client sends more than a stream's client may."""

    def half_closed(self) -> None:
        """The client has stopped sending, but may still listen."""

    def leaving(self) -> None:
        """The client closed or broke the protocol, and was answered: nothing more may be sent to it."""

    def lost(self) -> None:
        """The connection is gone."""


class RequestHead:
    """Replaces the transport while the response starts, so that its head is sent with the stream's first bytes."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Keep these bytes."""
        self.parts.append(data)
