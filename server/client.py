"""One connected client as the hub sees it, and what the hub needs from its connection."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from server.frame import Wire

NOTHING: Mapping[Any, Any] = MappingProxyType({})
"""An empty table that thousands of clients share."""


class ConnectionWriter(Protocol):
    """The connection of a client. `write` neither waits nor raises.

    What it cannot send is held, and counted in bytes.
    """

    wire: Wire
    descriptor: int
    """The socket's descriptor, which may be sent to while nothing is buffered.

    -1 if bytes must go through the connection.
    """

    def write(self, data: bytes) -> None:
        """Send these bytes, or buffer them."""

    def write_many(self, parts: Sequence[bytes]) -> None:
        """Send or buffer several pieces without copying them."""

    def held_bytes(self) -> int:
        """Buffered bytes that are not sent yet."""

    def go_live(self) -> None:
        """Apply the full limit from now on: a client over it is too slow. Before, a small limit paces a replay."""

    def finish(self) -> None:
        """Send the buffered bytes, end the stream cleanly, and close."""

    def abort(self) -> None:
        """Close at once, and discard the buffer."""


class State(enum.Enum):
    """The state of a client."""

    JOINING = "joining"
    CATCHING_UP = "catching up"
    """It receives history as fast as it reads."""
    LIVE = "live"
    GONE = "gone"


class Client:
    """A client's topics and its position in them. The hub updates it."""

    __slots__ = ("blocked_s", "cursors", "ends_s", "has", "state", "topics", "write", "writer")

    def __init__(self, topics: Sequence[str], writer: ConnectionWriter) -> None:
        self.topics = topics
        self.writer = writer
        self.write: Callable[[bytes], None] = writer.write
        self.state = State.JOINING
        self.cursors: Mapping[str, int] = NOTHING
        """While catching up: the next position in each topic's history."""
        self.has: Mapping[str, Mapping[str, int]] = NOTHING
        """The last seq that it said it has, by topic and stream, until it has passed that."""
        self.ends_s = math.inf
        """When its stream reaches its maximum age (monotonic clock)."""
        self.blocked_s: float | None = None
        """The time (monotonic clock) since which it has read nothing of its replay."""
