"""One connected client as the hub sees it, and what the hub asks of the connection behind it."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from server.frame import Wire

NOTHING: Mapping[Any, Any] = MappingProxyType({})
"""What thousands of clients share that have no use for a table of their own."""


class ConnectionWriter(Protocol):
    """The connection of a client. `write` neither waits nor raises; what it cannot send is held, and counted in bytes."""

    wire: Wire
    descriptor: int
    """Of the socket, which may be sent to while nothing is held; -1 where bytes must not go past the connection."""

    def write(self, data: bytes) -> None:
        """Send these bytes, or hold them."""

    def write_many(self, parts: Sequence[bytes]) -> None:
        """The same for several, which are not copied."""

    def held_bytes(self) -> int:
        """Bytes held and not sent."""

    def go_live(self) -> None:
        """From now on the full bound holds: a client that passes it is too slow. Until then, a small one paces a replay."""

    def finish(self) -> None:
        """Send the buffered bytes, end the stream cleanly, and close."""

    def abort(self) -> None:
        """Close at once, and throw away what is held."""


class State(enum.Enum):
    """Where a client is in its life."""

    JOINING = "joining"
    CATCHING_UP = "catching up"
    """It gets history, at the pace at which it takes it."""
    LIVE = "live"
    GONE = "gone"


class Client:
    """A client's topics and its place in them. The hub changes it, and tells it what becomes of its connection."""

    __slots__ = ("blocked_s", "cursors", "ends_s", "has", "state", "topics", "write", "writer")

    def __init__(self, topics: Sequence[str], writer: ConnectionWriter) -> None:
        self.topics = topics
        self.writer = writer
        self.write: Callable[[bytes], None] = writer.write
        self.state = State.JOINING
        self.cursors: Mapping[str, int] = NOTHING
        """While it catches up: the next position in each topic's history."""
        self.has: Mapping[str, Mapping[str, int]] = NOTHING
        """What it said it has: by topic and stream, up to which seq; until it is past that."""
        self.ends_s = math.inf
        """When its stream is as old as it may get (monotonic clock)."""
        self.blocked_s: float | None = None
        """Since when (monotonic clock) it has taken nothing of its replay."""
