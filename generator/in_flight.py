"""Counts the publishes that have begun and not ended, and lets others wait for them."""

from __future__ import annotations

import asyncio

MAX_IN_FLIGHT = 20_000
"""Limit of concurrent publishes, which bounds memory. At the limit the generator waits; the schedule hop shows it."""


class InFlight:
    """The publishes in flight. One task at a time may wait."""

    def __init__(self) -> None:
        self.count = 0
        self._one_ended: asyncio.Future[None] | None = None

    @property
    def full(self) -> bool:
        """Whether no further publish may begin."""
        return self.count >= MAX_IN_FLIGHT

    def begin(self) -> None:
        """One has begun."""
        self.count += 1

    def end(self) -> None:
        """One has ended."""
        self.count -= 1
        if self._one_ended is not None:
            if not self._one_ended.done():
                self._one_ended.set_result(None)
            self._one_ended = None

    async def next_end(self) -> None:
        """Wait until one ends."""
        self._one_ended = asyncio.get_running_loop().create_future()
        await self._one_ended
