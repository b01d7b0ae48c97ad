"""What could not be published yet, for brokers that promise at-least-once: tried again, oldest first, until it is in.

A service that needs at-least-once keeps what it could not hand over; so does the generator. At-most-once events that
fail are lost, as the promise allows.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from brokers.reconnect import delays_s
from core.errors import FanbenchError


class Letter(NamedTuple):
    """An event that failed, in the order in which events were due."""

    number: int
    topic: str
    payload: bytes


class Outbox:
    """Failed events, republished one at a time so that they keep their order among themselves."""

    def __init__(self, publish: Callable[[str, bytes], Awaitable[None]]) -> None:
        self._publish = publish
        self._letters: list[Letter] = []
        self._task: asyncio.Task[None] | None = None
        self.retried = 0

    def __len__(self) -> int:
        return len(self._letters)

    def add(self, letter: Letter) -> None:
        """Keep an event; the caller bounds how many there are."""
        heapq.heappush(self._letters, letter)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    async def emptied(self, timeout_s: float) -> int:
        """Wait until all are in; how many are not after `timeout_s` seconds, and give those up."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=timeout_s)
            self._task.cancel()
            await asyncio.wait([self._task])
        left, self._letters = len(self._letters), []
        return left

    async def _work(self) -> None:
        delays = delays_s()
        while self._letters:
            letter = self._letters[0]
            try:
                await self._publish(letter.topic, letter.payload)
            except FanbenchError:
                await asyncio.sleep(next(delays))
                continue
            delays = delays_s()
            self.retried += 1
            if self._letters[0] is letter:
                heapq.heappop(self._letters)
            else:  # one that came meanwhile is older and stands first now
                self._letters.remove(letter)
                heapq.heapify(self._letters)
