"""Replays missed events to clients that resume, in order of arrival, one slice at a time so that live events continue."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice

from server.client import NOTHING, Client, State
from server.frame import Frame, FrameMaker, count_events
from server.ledger import Ledger
from server.topic import Topic

SLICE_FRAMES = 256
SLICE_BYTES = 64 * 1024
"""Bytes written to a client at once, except for a larger event.

Without chunk framing each client needs its own copy.
"""
BUDGET_S = 0.002
"""How long replays may occupy the event loop before everything else gets its turn."""


class Replay:
    """The queue of clients that are catching up. They read the topics' shared history; nothing is copied for them."""

    def __init__(
        self,
        topics: Mapping[str, Topic],
        ledger: Ledger,
        make: FrameMaker,
        loop: asyncio.AbstractEventLoop,
        *,
        go_live: Callable[[Client], None],
        drop: Callable[[Client, str], None],
    ) -> None:
        self._topics = topics
        self._ledger = ledger
        self._make = make
        self._loop = loop
        self._go_live = go_live
        self._drop = drop
        self._queue: deque[Client] = deque()
        self._blocked: set[Client] = set()
        self._scheduled = False

    def add(self, client: Client) -> None:
        """Queue a client after the earlier ones."""
        self._queue.append(client)
        self._schedule()

    def resumed(self, client: Client) -> None:
        """A client's connection accepts bytes again: it is next."""
        client.blocked_s = None
        if client in self._blocked:
            self._blocked.discard(client)
            self._queue.appendleft(client)
            self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._step)

    def _step(self) -> None:
        self._scheduled = False
        until_s = self._loop.time() + BUDGET_S
        while self._queue and self._loop.time() < until_s:
            client = self._queue.popleft()
            if client.state is State.CATCHING_UP:
                self._serve(client)
        if self._queue:
            self._schedule()

    def _serve(self, client: Client) -> None:
        """Write one slice; then the client waits for its connection, goes live, or is served again."""
        has, wire = client.has, client.writer.wire
        frames = self._next_slice(client)
        wanted = [f for f in frames if not has or f.seq < 0 or f.seq > has.get(f.topic, NOTHING).get(f.stream, -1)]
        if wanted:
            events = count_events(wanted)
            self._ledger.written += events
            self._ledger.replayed += events
            client.writer.write_many([frame.on(wire) for frame in wanted])
        if client.state is not State.CATCHING_UP:
            return
        if client.blocked_s is not None:
            self._blocked.add(client)
        elif all(position >= self._topics[name].history.end for name, position in client.cursors.items()):
            self._go_live(client)
        else:
            self._queue.appendleft(client)

    def _next_slice(self, client: Client) -> list[Frame]:
        """The next frames of all the client's topics, in the order of their arrival at this replica."""
        frames: list[Frame] = []
        cursors = dict(client.cursors)
        for name, position in cursors.items():
            history = self._topics[name].history
            if position < history.start:
                lost = history.start - position
                frames.append(self._make.gap(name, "history was outrun while it was replayed", lost, 0))
                cursors[name] = history.start
        if len(cursors) == 1:
            ((name, position),) = cursors.items()
            held = self._topics[name].history.slice(position, SLICE_FRAMES)
        else:
            walks = [self._topics[name].history.walk(position) for name, position in cursors.items()]
            held = list(islice(heapq.merge(*walks, key=lambda frame: frame.order), SLICE_FRAMES))
        size_bytes = 0
        for count, frame in enumerate(held, start=1):
            cursors[frame.topic] += 1
            size_bytes += len(frame.chunk)
            if size_bytes >= SLICE_BYTES:
                del held[count:]
                break
        client.cursors = cursors
        return frames + held

    def drop_stalled(self, timeout_s: float) -> None:
        """Disconnect the clients that have read nothing of their replay for `timeout_s` seconds."""
        if not self._blocked:
            return
        self._blocked = {client for client in self._blocked if client.state is State.CATCHING_UP}
        oldest_s = self._loop.time() - timeout_s
        for client in [c for c in self._blocked if c.blocked_s is not None and c.blocked_s < oldest_s]:
            self._drop(client, "stalled")
