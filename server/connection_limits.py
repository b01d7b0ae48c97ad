"""Limits of new connections: how many, how long without a request, and how many requests start at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

REQUESTS_PER_TURN = 8
"""Requests started in one turn of the event loop, about 2 ms of work: a storm of connects must not delay events."""


class Arrival(Protocol):
    """A connection that has sent no complete request yet."""

    def refuse(self, status: bytes, words: str) -> None:
        """Answer it and close it."""


class ConnectionLimits:
    """Admits connections to a replica. Requests start in the order of their arrival."""

    def __init__(self, max_connections: int, loop: asyncio.AbstractEventLoop) -> None:
        self.turned_away = 0
        """Connections closed without a complete request, or for lack of room."""
        self._max_connections = max_connections
        self._loop = loop
        self._waiting: dict[Arrival, float] = {}
        self._begins: deque[Callable[[], None]] = deque()

    def enter(self, arrival: Arrival, connections: int) -> bool:
        """Marks a request incomplete from now on; False if there is no room for it."""
        if connections > self._max_connections:
            self.turned_away += 1
            return False
        self.owe(arrival)
        return True

    def owe(self, arrival: Arrival) -> None:
        """Marks a request incomplete; counts from the first mark."""
        self._waiting.setdefault(arrival, self._loop.time())

    def leave(self, arrival: Arrival) -> None:
        """Its request is complete, or the connection is closed."""
        self._waiting.pop(arrival, None)

    def expire(self, before_s: float) -> None:
        """Refuse the connections whose request has been incomplete since before that time (loop clock)."""
        late: list[Arrival] = []
        for arrival, since_s in self._waiting.items():
            if since_s >= before_s:
                break
            late.append(arrival)
        for arrival in late:
            self.leave(arrival)
            self.turned_away += 1
            arrival.refuse(b"408 Request Timeout", "no complete request in time; send it at once")

    def admit(self, begin: Callable[[], None]) -> None:
        """Call `begin` when it is this request's turn: at once, unless many arrive together."""
        if not self._begins:
            self._loop.call_soon(self._let_in)
        self._begins.append(begin)

    def _let_in(self) -> None:
        for _ in range(min(REQUESTS_PER_TURN, len(self._begins))):
            self._begins.popleft()()
        if self._begins:
            self._loop.call_soon(self._let_in)
