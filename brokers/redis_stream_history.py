"""The earlier entries of a Redis stream, for all its new topics through one connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from brokers.endpoint import Endpoint
from brokers.link import Link
from brokers.log_reader import Entry
from brokers.redis_answers import Batch
from brokers.redis_link import Connection, RedisConnectionError, ask, close, open_connection
from brokers.redis_stream_facts import order
from brokers.redis_stream_reads import parse

_IDLE_S = 30.0
"""A connection unused for longer is not used again: nobody checked that the server is still there."""


def _ignore(_: str) -> None:
    """History skips the entries that were skipped when they were live."""


class RedisStreamHistory:
    """Its connection is made for the first read, and kept for the next ones."""

    def __init__(self, endpoint: Endpoint, link: Link, stream: str) -> None:
        self._endpoint = endpoint
        self._link = link
        self._stream = stream
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self._used_s = 0.0
        self._dials_again = False

    async def read(self, since_ns: int, upto: bytes) -> AsyncGenerator[Sequence[Entry], None]:
        """The entries from a time (wall clock, ns) up to and including a position."""
        batch, start = Batch(), b"%d-0" % (since_ns // 1_000_000)
        while order(start) <= order(upto):
            count = batch.count
            entries = await self._page(batch, start, upto)
            yield [(topic, payload) for _, topic, payload in parse(entries, _ignore)]
            if len(entries) < count:
                return
            start = b"%d-%d" % (order(entries[-1][0])[0], order(entries[-1][0])[1] + 1)

    async def _page(self, batch: Batch, start: bytes, upto: bytes) -> Sequence[Any]:
        async with self._lock, asyncio.timeout(self._endpoint.timeout_s):
            loop, connection, entries = asyncio.get_running_loop(), self._connection, None
            fresh = not self._dials_again and loop.time() - self._used_s < _IDLE_S
            command = ("XRANGE", self._stream, start, upto, "COUNT", batch.count)
            if connection is not None and fresh:
                with contextlib.suppress(OSError, RedisConnectionError):  # lost since then, or with a cancelled read
                    entries = await ask(connection, *command)
            if connection is None or entries is None:
                await self.close()
                self._dials_again = False
                connection = self._connection = await open_connection(self._link.target, self._stream)
                entries = await ask(connection, *command)
            self._used_s = loop.time()
            batch.learn(len(entries), connection)
            found: Sequence[Any] = entries
            return found

    def dial_again(self) -> None:
        """Make another connection for the next read: the server may not be the primary any more."""
        self._dials_again = True

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await close(connection)
