"""Recent entries of a stored stream, by topic: a newly subscribed topic gets its history from here.

The reader reads every topic's entries anyway. Without this cache, each new topic would need the whole stream again;
with a new topic every second, that would be most of a replica's work.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from brokers.options import whole_number

P = TypeVar("P")
RECENT = whole_number("recent", "entries that a reader keeps, so that a new topic has its history at once", 100_000)
"""A stream's default length: the broker does not have older entries either."""
MAX_BYTES = 64 * 1024 * 1024
"""The limit for stored payloads, regardless of their number."""


class RecentEntries(Generic[P]):
    """Return all entries after `position`, of any topic, oldest first."""

    def __init__(self, position: P, capacity: int) -> None:
        self._capacity = capacity
        self.position = position
        """The position of the last entry that is not here; everything after it is."""
        self._since_ns: int | None = None
        self._order: deque[tuple[P, str]] = deque()
        self._payloads: dict[str, deque[bytes]] = {}
        self._held_bytes = 0

    def __len__(self) -> int:
        return len(self._order)

    def add(self, position: P, name: str, payload: bytes) -> None:
        """Keep an entry, and drop the oldest ones over the bound."""
        self._order.append((position, name))
        payloads = self._payloads.get(name)
        if payloads is None:
            payloads = self._payloads[name] = deque()
        payloads.append(payload)
        self._held_bytes += len(payload)
        while len(self._order) > self._capacity or self._held_bytes > MAX_BYTES:
            self._let_go()

    @property
    def roomy(self) -> bool:
        """Whether the buffer could take the same amount again."""
        return self._held_bytes < MAX_BYTES // 2 and len(self._order) < self._capacity // 2

    def covers(self, since_ns: int) -> bool:
        """Whether everything published since that moment is here."""
        return self._since_ns is not None and since_ns >= self._since_ns

    def put_before(self, older: list[tuple[str, bytes]], since_ns: int) -> None:
        """Add what lies between that moment and `position`, which need not be read again if all of it fits."""
        size_bytes = self._held_bytes + sum(len(payload) for _, payload in older)
        if size_bytes > MAX_BYTES or len(self._order) + len(older) > self._capacity:
            return
        self._since_ns = since_ns
        for name, payload in reversed(older):
            self._order.appendleft((self.position, name))
            self._payloads.setdefault(name, deque()).appendleft(payload)
            self._held_bytes += len(payload)

    def _let_go(self) -> None:
        self._since_ns = None
        self.position, name = self._order.popleft()
        payloads = self._payloads[name]
        self._held_bytes -= len(payloads.popleft())
        if not payloads:
            del self._payloads[name]

    def of(self, name: str) -> list[bytes]:
        """The payloads of one topic, oldest first."""
        return list(self._payloads.get(name, ()))
