"""Recently refused topics, so that repeated requests do not reach the broker."""

from __future__ import annotations

import asyncio

from core.errors import FanbenchError

REMEMBERED_S = 5.0
"""A permission that was granted meanwhile takes effect after this time."""
MOST = 10_000


class RefusedTopics:
    """The refusals by topic, kept for REMEMBERED_S seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._refused: dict[str, tuple[float, FanbenchError]] = {}

    def add(self, name: str, error: FanbenchError) -> None:
        """Record a refusal; forget the oldest if there are too many."""
        self._refused.pop(name, None)
        self._refused[name] = self._loop.time() + REMEMBERED_S, error
        if len(self._refused) > MOST:
            del self._refused[next(iter(self._refused))]

    def find(self, name: str) -> FanbenchError | None:
        """Why it was refused, if that was recent."""
        until_s, error = self._refused.get(name, (0.0, None))
        if error is not None and until_s <= self._loop.time():
            del self._refused[name]
            return None
        return error

    def expire(self) -> None:
        """Forget expired refusals; they are ordered by expiry."""
        now_s = self._loop.time()
        while self._refused and (first := next(iter(self._refused.items())))[1][0] <= now_s:
            del self._refused[first[0]]
