"""How clients leave the hub: by themselves, sent away in good order, or dropped with what is held for them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from server.client import NOTHING, Client, State
from server.ledger import Ledger
from server.topic import Topic


class Departures:
    """Takes clients out of the hub's tables. `clients` and `topics` are the hub's own."""

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
        self._slow: list[Client] = []

    def leave(self, client: Client, reason: str) -> None:
        """The client is gone, or about to be. Idempotent: the first reason counts."""
        if client.state is State.GONE:
            return
        client.state = State.GONE
        if client in self._clients:
            del self._clients[client]
            self._ledger.disconnects[reason] += 1
        for name in client.topics:
            self._topics[name].remove(client)
        client.cursors = client.has = NOTHING

    def drop(self, client: Client, reason: str) -> None:
        """Disconnect a client; what its connection holds is thrown away, and it can resume by id."""
        if client.state is not State.GONE:
            self._ledger.dropped += self._count_held(client)
            self.leave(client, reason)
            client.writer.abort()

    def find_slow(self, client: Client) -> None:
        """Its connection holds more than its bound: drop it when the write under way is done."""
        if not self._slow:
            self._loop.call_soon(self.drop_slow)
        self._slow.append(client)

    def drop_slow(self) -> None:
        """Drop the clients that were found to be slow."""
        slow, self._slow = self._slow, []
        for client in slow:
            self.drop(client, "slow")

    def _count_held(self, client: Client) -> int:
        """How many of the latest frames the bytes held by the connection are."""
        held = client.writer.held_bytes()
        if len(client.topics) == 1 and client.state is State.LIVE:
            return self._topics[client.topics[0]].history.count_last(held)
        recent = [self._topics[name].history for name in client.topics]
        frames, size = sum(len(h) for h in recent), sum(h.held_bytes for h in recent)
        return round(held * frames / size) if size else 0
