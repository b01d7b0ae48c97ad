"""Limits how many connects of a process are under way, by how soon they are answered.

A server answers one after the other. If more clients ask than it answers before they give up, it works for those that
have left while the others wait and leave too: connecting stands still. So the number of connects under way grows while
answers come soon, and shrinks when they come late; everyone else waits for a turn, without a socket.
"""

from __future__ import annotations

from collections import deque
from time import time_ns
from typing import Protocol

CONNECT_TIMEOUT_S = 10.0
FIRST_LIMIT = 32
LARGEST_LIMIT = 256
"""A thousand at one instant would overflow a listener's queue."""
_SOON, _LATE = 0.25, 0.5
"""Shares of the timeout: an answer within the first raises the limit, one after the second lowers it."""


class Connecting(Protocol):
    """A client that wants to connect, before and after its turn."""

    started_ns: int
    """When its current attempt began."""
    closed: bool

    def connect(self) -> None:
        """Begin an attempt."""

    def fail(self, reason: str) -> None:
        """Treat the attempt as failed."""


class ConnectThrottle:
    """The connects of one process; an attempt that takes longer than `timeout_s` has failed.

    Without `adapts` the limit stays: for a service that takes its time, such as one that answers with the first token.
    """

    def __init__(self, timeout_s: float = CONNECT_TIMEOUT_S, *, adapts: bool = True) -> None:
        self.under_way: set[Connecting] = set()
        self.limit = FIRST_LIMIT if adapts else LARGEST_LIMIT
        self._adapts = adapts
        self._timeout_s = timeout_s
        self._timeout_ns = int(timeout_s * 1e9)
        self._queue: deque[Connecting] = deque()
        self._admitting = False
        self._lowered_ns = 0

    def waiting(self) -> int:
        """How many clients wait for their turn."""
        return sum(not client.closed for client in self._queue)

    def enter(self, client: Connecting) -> None:
        """Connect the client now, or when its turn comes."""
        self._queue.append(client)
        self._admit()

    def answered(self, client: Connecting, took_ns: int) -> None:
        """The client's attempt has succeeded after that time."""
        if self._adapts and took_ns < _SOON * self._timeout_ns:
            self.limit = min(LARGEST_LIMIT, self.limit + 1)
        elif self._adapts and took_ns > _LATE * self._timeout_ns:
            self.limit = max(1, self.limit - 1)
        self.leave(client)

    def leave(self, client: Connecting) -> None:
        """The client's attempt has ended; what refuses at once says nothing about the limit."""
        self.under_way.discard(client)
        self._admit()

    def give_up(self, now_ns: int) -> None:
        """End the attempts that have had no answer for too long, and halve the limit.

        Attempts that began together end together, and halve it once.
        """
        late = [client for client in self.under_way if client.started_ns < now_ns - self._timeout_ns]
        if self._adapts and any(client.started_ns >= self._lowered_ns for client in late):
            self.limit = max(1, self.limit // 2)
            self._lowered_ns = now_ns
        for client in late:
            if client in self.under_way:  # a listener of Locust's events may have let it go on meanwhile
                client.fail(f"no answer within {self._timeout_s:g} s")

    def _admit(self) -> None:
        if self._admitting:  # called from a connect below that failed at once
            return
        self._admitting = True
        while self._queue and len(self.under_way) < self.limit:
            client = self._queue.popleft()
            if not client.closed:
                client.started_ns = time_ns()
                self.under_way.add(client)
                client.connect()
        self._admitting = False
