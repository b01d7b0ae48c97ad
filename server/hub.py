"""The fan-out of one replica: encodes each broker message once and sends it to each client of its topic.

No client has its own timer, task or queue. A fan-out is one send to many connections, and one tick serves them all.
Everything here runs in one event loop without awaiting, so joining, leaving and writing are atomic.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from core.clock import now_ns
from core.stamp import Stamp
from server.broadcast_group import Sender
from server.client import NOTHING, Client, State
from server.departures import Departures
from server.expiry import Expiry
from server.frame import Frame, FrameMaker
from server.heartbeat import Heartbeats
from server.history import History, HistoryBound
from server.ledger import Ledger
from server.replay import Replay
from server.resume import Position
from server.topic import Topic
from server.validation import EventValidator

FLUSH_BYTES = 64 * 1024
"""A topic with this many pending bytes is flushed before the turn of the event loop ends."""
TICKS_HZ = 10
"""Work for all clients or topics is spread over ticks of a tenth of a second, so that none of it delays events for long."""
STOPPED = "server stopped"


@dataclass(frozen=True, slots=True)
class HubSettings:
    """The settings that the hub needs."""

    server: str
    history: HistoryBound
    history_total_bytes: int
    max_event_bytes: int
    heartbeat_s: float
    max_stream_age_s: float
    stall_timeout_s: float


class Hub:
    """Topics and clients. The broker calls `accept` and `gap`, connections `join`, `paused`, `resumed`, `leave`."""

    def __init__(self, settings: HubSettings, loop: asyncio.AbstractEventLoop, sender: Sender | None = None) -> None:
        self.ledger = Ledger()
        self.topics: dict[str, Topic] = {}
        self.clients: dict[Client, None] = {}
        self.history_bytes = 0
        self.stopping = False
        self._settings = settings
        self._loop = loop
        self._sender = sender
        self._make = FrameMaker(settings.server)
        self._validator = EventValidator(settings.max_event_bytes, self.ledger)
        self._order = 0
        self._dirty: list[Topic] = []
        self._dirty_since_ns = 0
        self._held = False
        self._departures = Departures(self.clients, self.topics, self.ledger, loop)
        self._replay = Replay(self.topics, self.ledger, self._make, loop, go_live=self.go_live, drop=self.drop)
        self._beats = Heartbeats(settings.heartbeat_s, TICKS_HZ)
        self._expiry = Expiry()
        self._ticks = 0
        self._ticker: asyncio.TimerHandle | None = None

    # The broker side

    def open_topic(self, name: str, complete_since_ns: int) -> Topic:
        """Add a topic before it is subscribed."""
        self.ledger.open_topic(name)
        topic = self.topics[name] = Topic(name, History(self._settings.history, complete_since_ns), self._sender)
        return topic

    def close_topic(self, name: str) -> None:
        """Remove a topic without clients, and its history."""
        topic = self.topics.pop(name)
        self.history_bytes -= topic.history.held_bytes
        self.ledger.close_topic(name)

    def hold(self) -> None:
        """Hold back messages until the next `flush`; the caller must call it."""
        self._held = True

    def accept(self, name: str, payload: bytes) -> None:
        """Accept one message from the broker; it is sent at the latest at the end of this turn of the event loop."""
        received_ns = now_ns()
        try:
            topic = self.topics.get(name)
        except TypeError:  # an adapter may deliver something that is not a name
            self._validator.pass_by(name, payload, "no topic")
            return
        if topic is None:
            return
        stamp = self._validator.read(name, payload)
        if stamp is None:
            return
        span = topic.history.spans.get(stamp.stream)
        if topic.filling:
            topic.heard_s = self._loop.time()
            if stamp.sent_ns >= topic.subscribed_ns > 0:
                topic.filling = False
            elif span is not None and stamp.seq <= span.last:
                return  # a replay after a reconnect: the hub already has it
        elif span is not None and stamp.seq > span.last + 1:
            self._tell_hole(topic, stamp, stamp.seq - span.last - 1, received_ns)
        if span is None and stamp.seq and topic.from_start:
            self._tell_hole(topic, stamp, stamp.seq, received_ns)
        if not topic.filling:
            self.ledger.broker_hop.add(received_ns - stamp.sent_ns)
        self._add(topic, self._make.event(stamp, payload, received_ns), received_ns)

    def gap(self, cause: str, lost: int | None, name: str | None) -> None:
        """Send a gap to the clients of one topic, or of all: events may be missing from here on."""
        self.ledger.gaps += 1
        if lost and (name is None or name in self.topics):
            self.ledger.gap_lost["*" if name is None else name] += lost
        moment_ns = now_ns()
        for topic in [self.topics[name]] if name in self.topics else self.topics.values() if name is None else ():
            self._add(topic, self._make.gap(topic.name, cause, lost, moment_ns), moment_ns)

    def _tell_hole(self, topic: Topic, stamp: Stamp, lost: int, received_ns: int) -> None:
        # The generator numbers events without gaps, so a hole is a loss, even if the broker did not report it.
        self.ledger.holes += lost
        frame = self._make.gap(topic.name, f"missing before {stamp.id}", lost, stamp.sent_ns)
        self._add(topic, frame, received_ns)

    def _add(self, topic: Topic, frame: Frame, received_ns: int) -> None:
        self._order += 1
        frame.order = self._order
        self.history_bytes += topic.history.append(frame, received_ns)
        over = self.history_bytes - self._settings.history_total_bytes
        if over > 0:
            self.history_bytes -= topic.history.shrink(over)
        # While history is loading, the only listeners are clients that want all of it.
        if not topic.pending:
            if not self._dirty:
                if not self._held:
                    self._loop.call_soon(self.flush)
                self._dirty_since_ns = received_ns
            self._dirty.append(topic)
        topic.pending.append(frame)
        if len(topic.pending) * len(frame.chunk) >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write pending data. Called at the end of a turn and before a client joins."""
        self._held = False
        dirty, self._dirty = self._dirty, []
        for topic in dirty:
            if topic.pending:
                self.ledger.written += topic.flush(self.drop)
        if dirty:
            self.ledger.fanout.add(now_ns() - self._dirty_since_ns)

    # The client side

    def join(self, client: Client, position: Position, opening: bytes, *, from_start: bool = False) -> None:
        """Begin a client's stream: its opening, the gaps that the client must know about, then history and live events.

        With `from_start` it wants each stream from the first event, so a stream that starts later gets a gap.
        All its topics are subscribed. No event is lost between its replay and its live events.
        """
        if client.state is State.GONE:
            return
        self.flush()
        self.clients[client] = None
        self.ledger.connects += 1
        if from_start:
            for name in client.topics:
                self.topics[name].from_start = True
        wire = client.writer.wire
        parts = [opening]
        parts += [self._make.gap(gap.topic, gap.cause, gap.lost, 0).on(wire) for gap in position.gaps]
        client.write(b"".join(parts))
        client.has = position.has or NOTHING
        if self._settings.max_stream_age_s:
            client.ends_s = self._loop.time() + self._settings.max_stream_age_s * random.uniform(0.75, 1.25)
        if all(position.cursors[name] == self.topics[name].history.end for name in client.topics):
            self.go_live(client)
        else:
            client.state = State.CATCHING_UP
            client.cursors = position.cursors
            self._replay.add(client)

    def go_live(self, client: Client) -> None:
        """Switch a client that has the whole history to live events."""
        self.flush()
        client.state = State.LIVE
        client.cursors = NOTHING
        client.writer.go_live()
        ahead = False
        for name in client.topics:
            topic = self.topics[name]
            topic.add(client)
            ahead = ahead or client in topic.ahead
        if not ahead:
            client.has = NOTHING

    def paused(self, client: Client) -> None:
        """Handle a connection above its bound: a live client is too slow; a replaying one reads at its own pace."""
        if client.state is State.LIVE:
            self._departures.find_slow(client)
        elif client.state is State.CATCHING_UP:
            client.blocked_s = self._loop.time()

    def resumed(self, client: Client) -> None:
        """Continue a client whose buffer has drained."""
        self._replay.resumed(client)

    def drop(self, client: Client, reason: str) -> None:
        """Disconnect a client and discard its buffer; it can resume by id."""
        self._departures.drop(client, reason)

    def leave(self, client: Client, reason: str) -> None:
        """Remove a client that has left or is about to leave. Idempotent: the first reason counts."""
        self._departures.leave(client, reason)

    def buffered_bytes(self) -> int:
        """Bytes buffered for all clients."""
        return sum(client.writer.held_bytes() for client in self.clients)

    # The tick

    def tick(self, each_second: Callable[[], None]) -> None:
        """Ten times a second from the first call: send heartbeats to a share of the clients, expire a share of the histories.

        Once a second, drop stalled clients and call `each_second`.
        """
        self._ticker = self._loop.call_later(1 / TICKS_HZ, self.tick, each_second)
        self._beats.tick(self.clients, self._loop.time())
        self.history_bytes -= self._expiry.tick(self.topics, now_ns())
        if self._ticks % TICKS_HZ == 0:
            self._replay.drop_stalled(self._settings.stall_timeout_s)
            self._departures.tick()
            each_second()
        self._ticks += 1

    def end(self, clients: Iterable[Client], reason: str) -> None:
        """End these streams cleanly, after all their events."""
        self.flush()
        for client in clients:
            self.leave(client, reason)
            client.writer.finish()

    def outlived(self, now_s: float) -> list[Client]:
        """The live clients whose streams have reached their maximum age."""
        return [client for client in self.clients if client.ends_s <= now_s and client.state is State.LIVE]

    def close(self) -> None:
        """Stop the tick; no client may join from now on."""
        self.stopping = True
        if self._ticker is not None:
            self._ticker.cancel()

    def topic_clients(self) -> Mapping[str, int]:
        """Clients by topic."""
        counts = dict.fromkeys(self.topics, 0)
        for client in self.clients:
            for name in client.topics:
                counts[name] += 1
        return counts
