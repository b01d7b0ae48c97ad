"""Sends a Redis server commands and reads its messages without a task: redis-py wakes one per read and write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from brokers.redis_answers import answers_of
from brokers.redis_link import RedisConnectionError


class RedisFeed(asyncio.Protocol):
    """A logged-in connection taken over from redis-py; `take` gets each answer or its ResponseError."""

    def __init__(self, connection: Any, take: Callable[[Any], None], end: Callable[[], None] | None = None) -> None:
        """redis-py must have no unfinished writes or reads. `end` is called after the answers of each read."""
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Exception] = self._loop.create_future()
        self._take = take
        self._end_read = end
        self._answers = answers_of(connection)
        self._unsent: list[bytes] = []
        self._paused = self._flushes_soon = False
        self._transport: asyncio.Transport = connection._writer.transport
        self._transport.set_protocol(self)
        self._transport.resume_reading()
        unread = connection._reader._buffer
        self.data_received(bytes(unread))
        unread.clear()
        if connection._reader.at_eof() or self._transport.is_closing():
            self.connection_lost(None)

    @property
    def ended(self) -> bool:
        """Whether the connection is lost: nothing more will arrive."""
        return self._ended.done()

    def write(self, command: bytes) -> None:
        """Send a packed command after the earlier ones, with the next `flush`."""
        self._unsent.append(command)

    def flush_soon(self) -> None:
        """Send the written commands at the end of this turn of the event loop."""
        if not self._flushes_soon:
            self._flushes_soon = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send the written commands together; wait while the socket is full.

        Send nothing once the connection is lost: uvloop raises RuntimeError for a write to a closed transport.
        """
        self._flushes_soon = False
        if self._unsent and not self._paused and not self.ended:
            unsent, self._unsent = self._unsent, []
            self._transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))

    async def wait_end(self) -> None:
        """Raise the error that ended the connection, if it has ended."""
        await asyncio.wait([self._ended])
        raise self._ended.result()

    def data_received(self, data: bytes) -> None:
        """Pass on each complete answer."""
        try:
            self._answers.feed(data)
            for answer in self._answers.whole():
                if isinstance(answer, RedisConnectionError):  # such as LOADING: the connection is useless
                    raise answer  # noqa: TRY301 - `end` must be called after the answers before it
                self._take(answer)
        except Exception as error:
            self._break_off(error)
        if self._end_read is not None:
            self._end_read()

    def pause_writing(self) -> None:
        """Hold back commands while the socket is full."""
        self._paused = True

    def resume_writing(self) -> None:
        """Continue after the socket has drained."""
        self._paused = False
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle a connection that either side has closed."""
        self._end(exc or ConnectionError("closed by the broker"))

    def _break_off(self, error: Exception) -> None:
        self._end(error)
        self._transport.abort()

    def _end(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_result(error)
