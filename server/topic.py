"""A subscribed topic: its history and the clients that listen to it."""

from __future__ import annotations

from collections.abc import Callable

from server.broadcast_group import BroadcastGroup, Sender
from server.client import NOTHING, Client
from server.frame import Frame, Wire, count_events, join
from server.history import History


class Topic:
    """What the hub keeps of one topic."""

    __slots__ = ("ahead", "filling", "groups", "heard_s", "history", "name", "pending", "subscribed_ns", "users")

    def __init__(self, name: str, history: History, sender: Sender | None = None) -> None:
        self.name = name
        self.history = history
        self.groups = {wire: BroadcastGroup(sender) for wire in Wire}
        """The live clients, by how their bytes are framed."""
        self.ahead: dict[Client, set[str]] = {}
        """Live clients that have events which have not come here yet, and of which streams."""
        self.pending: list[Frame] = []
        """Frames that came in this turn of the event loop and leave at its end."""
        self.users = 0
        """Clients that listen or are about to."""
        self.filling = False
        """The broker still replays: what comes is history, and goes to those alone that asked for the topic from its start."""
        self.subscribed_ns = 0
        self.heard_s = 0.0
        """When the latest frame came (monotonic clock)."""

    def flush(self, drop: Callable[[Client, str], None]) -> int:
        """Write what is pending to every live client, as one send each; return how many deliveries of events that were.

        `drop` is called for each client whose stream may have been cut within an event: it can resume by id.
        """
        frames, self.pending = self.pending, []
        events = count_events(frames)
        clients = 0
        for wire, group in self.groups.items():
            if group:
                clients += len(group)
                for client in group.write(join(frames, wire)):
                    drop(client, "send failed")
        deliveries = clients * events
        for client in list(self.ahead):
            deliveries += self._let_pass(client, frames)
        return deliveries

    def _let_pass(self, client: Client, frames: list[Frame]) -> int:
        """Give a client that is ahead what it does not have yet; once it is in step it goes to the others."""
        deliveries = 0
        has, streams = client.has.get(self.name, NOTHING), self.ahead[client]
        for frame in frames:
            seq = has.get(frame.stream, -2)
            if frame.seq > seq:
                client.write(frame.on(client.writer.wire))
                deliveries += frame.seq >= 0
            if frame.seq >= seq:
                streams.discard(frame.stream)
        if not streams:
            del self.ahead[client]
            self.groups[client.writer.wire].add(client)
        return deliveries

    def add(self, client: Client) -> None:
        """The client is live from here on."""
        streams = {stream for stream, seq in client.has.get(self.name, NOTHING).items() if self._lags(stream, seq)}
        if streams:
            self.ahead[client] = streams
        else:
            self.groups[client.writer.wire].add(client)

    def _lags(self, stream: str, seq: int) -> bool:
        """Whether the stream has not come so far here yet."""
        span = self.history.spans.get(stream)
        return span is not None and seq > span.last

    def remove(self, client: Client) -> None:
        """The client gets nothing more; no error if it was not live."""
        self.groups[client.writer.wire].remove(client)
        self.ahead.pop(client, None)
