"""A subscribed topic: its history and the clients that listen to it."""

from __future__ import annotations

from collections.abc import Callable

from server.broadcast_group import BroadcastGroup, Sender
from server.client import NOTHING, Client
from server.frame import Frame, Wire, count_events, join
from server.history import History


class Topic:
    """The hub's state for one topic."""

    __slots__ = (
        "_sender",
        "ahead",
        "filling",
        "from_start",
        "groups",
        "heard_s",
        "history",
        "name",
        "pending",
        "subscribed_ns",
        "users",
    )

    def __init__(self, name: str, history: History, sender: Sender | None = None) -> None:
        self.name = name
        self.history = history
        self.groups: dict[Wire, BroadcastGroup] = {}
        """The live clients by framing; a topic with one client has one group."""
        self._sender = sender
        self.ahead: dict[Client, set[str]] = {}
        """Live clients that are ahead of this replica, with the streams concerned."""
        self.pending: list[Frame] = []
        """Frames that arrived in this turn of the event loop and are sent at its end."""
        self.users = 0
        """Clients that listen now or are about to."""
        self.filling = False
        """The broker still replays: arrivals are history, which only clients that want the topic from its start get."""
        self.from_start = False
        """A client wanted each stream from its first event."""
        self.subscribed_ns = 0
        self.heard_s = 0.0
        """When the latest frame arrived (monotonic clock)."""

    def flush(self, drop: Callable[[Client, str], None]) -> int:
        """Write the pending frames to every live client, in one send each; return the number of deliveries.

        `drop` is called for each client whose stream may have been cut within an event: it can resume by id.
        """
        frames, self.pending = self.pending, []
        events = count_events(frames)
        clients = 0
        for wire, group in tuple(self.groups.items()):
            clients += len(group)
            for client in group.write(join(frames, wire)):
                drop(client, "send failed")
        deliveries = clients * events
        if self.ahead:
            for client in list(self.ahead):
                deliveries += self._let_pass(client, frames)
        return deliveries

    def _let_pass(self, client: Client, frames: list[Frame]) -> int:
        """Send a client that is ahead only what it lacks; once it is up to date it joins the others."""
        deliveries = 0
        has, streams = client.has.get(self.name, NOTHING), self.ahead[client]
        for frame in frames:
            seq = has.get(frame.stream, -2)
            if frame.seq > seq:
                client.write(frame.on(client.writer.wire))
                deliveries += frame.seq >= 0
            if frame.seq >= seq:
                streams.discard(frame.stream)
            if frame.stream and frame.stream not in has:
                # Another generator publishes: a stream that is unknown here may never come.
                streams.intersection_update(self.history.spans)
        if not streams:
            del self.ahead[client]
            self._listens(client)
        return deliveries

    def add(self, client: Client) -> None:
        """The client is live from this position."""
        streams = {stream for stream, seq in client.has.get(self.name, NOTHING).items() if self._lags(stream, seq)}
        if streams:
            self.ahead[client] = streams
        else:
            self._listens(client)

    def _listens(self, client: Client) -> None:
        wire = client.writer.wire
        group = self.groups.get(wire)
        if group is None:
            group = self.groups[wire] = BroadcastGroup(self._sender)
        group.add(client)

    def _lags(self, stream: str, seq: int) -> bool:
        """Whether the stream has not reached this seq here."""
        span = self.history.spans.get(stream)
        return seq > span.last if span is not None else not self.history.spans

    def remove(self, client: Client) -> None:
        """Remove the client; a no-op if it was not live."""
        group = self.groups.get(client.writer.wire)
        if group is not None:
            group.remove(client)
            if not len(group):
                del self.groups[client.writer.wire]
        self.ahead.pop(client, None)
