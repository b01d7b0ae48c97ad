"""Commands to Redis and their answers in order through one connection, without a task for either."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from hiredis import pack_command

from brokers.redis_feed import RedisFeed
from brokers.redis_link import Connection
from brokers.waiting import ends

Command = tuple[str | bytes | int, ...]
Answered = Callable[[Any], None]
"""Gets the answer to a command, or its error."""


class RedisCommands:
    """Takes over a logged-in connection; several commands may be in flight."""

    def __init__(self, connection: Connection, end: Callable[[], None] | None = None) -> None:
        """`end` is called after the answers of each read."""
        self._waiting: deque[Answered] = deque()
        self._broken: Exception | None = None
        self._feed = RedisFeed(connection, self._answer, end)
        self.flush = self._feed.flush
        self.wait_end = self._feed.wait_end

    def begin(self, command: Command, answered: Answered) -> None:
        """Send a command with the next `flush`."""
        if self._broken is not None:
            answered(self._broken)
            return
        self._waiting.append(answered)
        # hiredis packs the command: redis-py's Python code takes as long as the rest of a publish.
        self._feed.write(pack_command(command))  # type: ignore[arg-type]

    def submit(self, *command: str | bytes | int) -> asyncio.Future[Any]:
        """Send a command at the end of this turn of the event loop; the future has its answer, or its error."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        self.begin(command, ends(future))
        self._feed.flush_soon()
        return future

    def _answer(self, answer: Any) -> None:
        self._waiting.popleft()(answer)

    async def fail_at_end(self) -> None:
        """End all commands with the error that ends the connection."""
        try:
            await self.wait_end()
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """End all commands in flight, and every later one, with this error."""
        self._broken = error
        waiting, self._waiting = self._waiting, deque()
        for answered in waiting:
            answered(error)
