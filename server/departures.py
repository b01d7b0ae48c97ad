"""How clients leave the hub: on their own, disconnected cleanly, or dropped with their buffered events."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping

from server.client import NOTHING, Client, State
from server.ledger import Ledger
from server.memory import CLIENT_BYTES, FreedMemory
from server.topic import Topic

BUDGET_S = 0.002
"""How long dropping may occupy the event loop before other work gets its turn."""


class Departures:
    """Removes clients from the hub's tables: `clients` and `topics` are those tables, not copies."""

    def __init__(
        self,
        clients: dict[Client, None],
        topics: Mapping[str, Topic],
        ledger: Ledger,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._clients = clients
        self._topics = topics
        self._ledger = ledger
        self._loop = loop
        self._slow: deque[Client] = deque()
        self._doomed: deque[Client] = deque()
        """Clients that have left the tables, but whose connections must still be cut."""
        self._scheduled = False
        self._freed = FreedMemory()

    def leave(self, client: Client, reason: str) -> None:
        """The client has left or is about to leave. Idempotent: the first reason counts."""
        if client.state is State.GONE:
            return
        client.state = State.GONE
        if client in self._clients:
            del self._clients[client]
            self._ledger.disconnects[reason] += 1
            self._freed.add(CLIENT_BYTES)
        for name in client.topics:
            self._topics[name].remove(client)
        client.cursors = client.has = NOTHING

    def drop(self, client: Client, reason: str) -> None:
        """Disconnect a client soon and discard its buffer; it can resume by id."""
        if client.state is State.GONE:
            return
        self._ledger.dropped += self._count_held(client)
        self.leave(client, reason)
        self._doomed.append(client)
        self._schedule()

    def find_slow(self, client: Client) -> None:
        """Its buffer exceeds the limit: drop it after the current write."""
        self._slow.append(client)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Drop clients in slices: one event can make thousands slow, and discarding their buffers takes a second."""
        self._scheduled = False
        until_s = self._loop.time() + BUDGET_S
        while (self._slow or self._doomed) and self._loop.time() < until_s:
            if self._slow:
                self.drop(self._slow.popleft(), "slow")
            if self._doomed:
                writer = self._doomed.popleft().writer
                self._freed.add(writer.held_bytes())
                writer.abort()
        self._freed.give_back()
        if self._slow or self._doomed:
            self._schedule()

    def tick(self) -> None:
        """Called once a second."""
        self._freed.tick()

    def _count_held(self, client: Client) -> int:
        """How many of the latest frames the connection's buffered bytes contain."""
        held = client.writer.held_bytes()
        if len(client.topics) == 1 and client.state is State.LIVE:
            return self._topics[client.topics[0]].history.count_last(held)
        recent = [self._topics[name].history for name in client.topics]
        frames, size = sum(len(h) for h in recent), sum(h.held_bytes for h in recent)
        return round(held * frames / size) if size else 0
