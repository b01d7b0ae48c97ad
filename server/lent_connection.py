"""The interface between a connection and the stream that uses it, for each protocol."""

from __future__ import annotations

from typing import Any, Protocol

EXTENSION = "fanbench.connection"
"""The ASGI extension with which server.protocol and server.websocket expose their connections."""


def forget_scope(scope: Any) -> None:
    """Cut what a request's scope refers to and what refers back to it: the connection, and FastAPI's exit stacks.

    A circle is found by a full collection alone. That is rare, since it holds up every event, and so each connection
    would leave a few kilobytes for a long time.
    """
    for name in [name for name in scope if name == "extensions" or name.startswith("fastapi_")]:
        del scope[name]


class Listener(Protocol):
    """The user of a connection, which is notified of its events."""

    def paused(self) -> None:
        """More than the transport's high-water mark is unsent."""

    def resumed(self) -> None:
        """Less than its low-water mark is unsent again."""

    def flooding(self) -> None:
        """The client sends more than a client of streams may."""

    def half_closed(self) -> None:
        """The client will send nothing more, and may still listen."""

    def leaving(self) -> None:
        """The client has closed, or broken the protocol, and was answered: nothing more may be sent to it."""

    def lost(self) -> None:
        """The connection is gone."""


class RequestHead:
    """Replaces the transport while the response starts: its head is sent with the first bytes of the stream."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Keep these bytes."""
        self.parts.append(data)
