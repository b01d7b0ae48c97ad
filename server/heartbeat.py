"""The heartbeat: a comment to every client, so that proxies keep the stream open and dead connections are found."""

from __future__ import annotations

from collections.abc import Iterable

from server.client import Client, State
from server.frame import HEARTBEATS


class Heartbeats:
    """Sends to a share of the clients at each tick: 10,000 writes at once would delay events by a whole fan-out."""

    __slots__ = ("_interval_s", "_left", "_next_s", "_share", "_ticks")

    def __init__(self, interval_s: float, ticks_hz: int) -> None:
        self._interval_s = interval_s
        self._ticks = max(1, int(interval_s * ticks_hz))
        self._left: list[Client] = []
        self._share = 0
        self._next_s = 0.0

    def tick(self, clients: Iterable[Client], now_s: float) -> None:
        """Called `ticks_hz` times a second with all clients and the monotonic time."""
        if not self._left and now_s >= self._next_s:
            self._left = list(clients)
            self._share = -(-len(self._left) // self._ticks)
            self._next_s = now_s + self._interval_s
        for client in self._left[-self._share :]:
            if client.state is State.LIVE:
                client.write(HEARTBEATS[client.writer.wire])
        del self._left[-self._share :]
