"""What a replica answers at `GET /stats`."""

from __future__ import annotations

from typing import Literal

from core.contracts.codec import Document
from core.contracts.measures import PhaseCounts


class ReplicaStats(Document):
    """One replica, counted since its start."""

    version: Literal[1] = 1
    server: str
    pid: int
    ready: bool
    """The subscriptions are confirmed, the broker's link is up or in its grace period, and the replica is not stopping."""
    broker: str
    """The URL without secrets."""
    delivery: str
    """The requested promise: at-most-once or at-least-once."""
    broker_connected: bool
    """Whether the link to it is up now."""
    broker_notice: str
    """What fails while the link is up, in the broker's words: an alarm, a lost shard.

    Empty if everything works.
    """
    clients: int
    """Clients connected now; `topics` has them by topic."""
    topics: dict[str, int]
    received: dict[str, dict[str, PhaseCounts]]
    """Events that the broker delivered, by stream and topic."""
    delivered: int
    """Frames written to clients, without the dropped ones."""
    gaps: int
    """Interruptions that the adapter reported."""
    gap_lost: dict[str, int]
    """Events that it reported lost, by topic; `*`: unknown topic."""
    holes: int
    """Events that never arrived although a later one of their stream did."""
    foreign: dict[str, int]
    """Messages that are not fanbench events, by reason."""
    disconnects: dict[str, int]
    """Streams ended by the replica, by reason."""
    refused: dict[str, int]
    """Requests refused, by reason."""
    dropped: int
    """Frames discarded when a slow client was disconnected."""
    replayed: int
    """Frames written from history."""
    connects: int
    opened_topics: int
    """Topics subscribed at the broker, each time."""
    closed_topics: int
    """Topics unsubscribed there, each time."""
    turned_away: int
    """Connections beyond the limits."""
    batch_sends: bool
    """Whether one system call sends to all of a topic's clients."""
    buffered_bytes: int
    """Bytes held for clients that have not read them yet."""
    history_events: int
    history_bytes: int

    def received_of(self, stream: str) -> dict[str, PhaseCounts]:
        """The counts of one stream, by topic."""
        return self.received.get(stream, {})
