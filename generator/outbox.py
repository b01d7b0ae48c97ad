"""Events that could not be published yet, for at-least-once brokers: retried, oldest first, until they succeed.

A service that needs at-least-once keeps what it could not publish, and so does the generator. At-most-once events that
fail are lost, as the promise allows.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from brokers.reconnect import delays_s

WINDOW = 64
"""The number of events in flight at once.

One at a time, a broker that syncs each to disk would take minutes for the backlog of one minute.
"""


class Letter(NamedTuple):
    """An event that failed; `number` gives the order in which events were due."""

    number: int
    topic: str
    payload: bytes


class Outbox:
    """Failed events, republished in order: a few at once, and the next ones only when these have succeeded or failed again."""

    def __init__(self, publish: Callable[[str, bytes], Awaitable[None]]) -> None:
        self._publish = publish
        self._letters: list[Letter] = []
        self._under_way = 0
        self._task: asyncio.Task[None] | None = None
        self.retried = 0

    def __len__(self) -> int:
        return len(self._letters) + self._under_way

    def add(self, letter: Letter) -> None:
        """Keep an event; the caller limits their number."""
        heapq.heappush(self._letters, letter)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    async def emptied(self, timeout_s: float) -> None:
        """Wait until all are published, at most `timeout_s` seconds."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=timeout_s)

    def close(self) -> int:
        """Give up the rest and return their number."""
        if self._task is not None:
            self._task.cancel()
        left, self._letters, self._under_way = len(self), [], 0
        return left

    async def _work(self) -> None:
        delays = delays_s()
        while self._letters:
            window = [heapq.heappop(self._letters) for _ in range(min(WINDOW, len(self._letters)))]
            self._under_way = len(window)
            # Tasks start in this order, and an adapter writes in the order of the calls.
            done = await asyncio.gather(
                *(self._publish(letter.topic, letter.payload) for letter in window), return_exceptions=True
            )
            failed = [letter for letter, error in zip(window, done, strict=True) if error is not None]
            self.retried += len(window) - len(failed)
            for letter in failed:
                heapq.heappush(self._letters, letter)
            self._under_way = 0
            if failed:
                await asyncio.sleep(next(delays))
            else:
                delays = delays_s()
