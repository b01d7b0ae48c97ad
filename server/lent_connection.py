"""What a connection that is lent to a stream tells its borrower, whichever protocol it speaks."""

from __future__ import annotations

from typing import Any, Protocol

EXTENSION = "fanbench.connection"
"""The ASGI extension by which server.protocol and server.websocket lend their connections."""


def forget_scope(scope: Any) -> None:
    """Cut what a request's scope refers to and what refers back to it: the connection, and FastAPI's exit stacks.

    A circle is found by a full collection alone. That is rare, since it holds up every event, and so each connection
    would leave some kilobytes for a long time.
    """
    for name in [name for name in scope if name == "extensions" or name.startswith("fastapi_")]:
        del scope[name]


class Listener(Protocol):
    """Whoever took a connection, told what becomes of it."""

    def paused(self) -> None:
        """More than the transport's high-water mark is unsent."""

    def resumed(self) -> None:
        """Less than its low-water mark is unsent again."""

    def flooding(self) -> None:
        """The client sends more than a client of streams may."""

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
