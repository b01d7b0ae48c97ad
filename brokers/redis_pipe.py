"""Commands to Redis and their replies through one connection, without waiting for one before the next is sent."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from hiredis import pack_command

from brokers.connection import publish_error
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind, standard_kind
from brokers.link import Link
from brokers.reconnect import heartbeat_s
from brokers.redis_link import (
    MAX_TOPIC_BYTES,
    Connection,
    NoPermissionError,
    ResponseError,
    close,
    kind_of,
    open_connection,
    send,
    watch_primary,
)
from brokers.redis_primary import WATCH_S, by_sentinel, require_primary
from brokers.topic_names import TopicNames


class Pipe:
    """Commands and their replies through one connection, without waiting for one before the next is sent.

    A `ReconnectLoop` for `keep_up`. redis-py's pool takes a connection for each command in flight, and refuses the 101st.
    """

    def __init__(self, endpoint: Endpoint, link: Link | None = None, key: str = "") -> None:
        """`link` where the connection is a part of one that is kept up; `key` is what all commands are about."""
        self.link = link or Link(endpoint)
        self.names = TopicNames(endpoint, MAX_TOPIC_BYTES)
        self.kind_of = kind_of
        self._endpoint = endpoint
        self._key = key
        self._connection: Connection | None = None
        self._cause = "not connected"
        self._replies: deque[asyncio.Future[Any]] = deque()
        self._unsent: list[bytes] = []
        self._wake = asyncio.Event()

    def submit(self, *command: str | bytes | int) -> asyncio.Future[Any]:
        """Send a command; the future has its reply, or its error.

        Raises:
            BrokerError: there is no connection.
        """
        if self._connection is None:
            raise self._down()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._replies.append(future)
        # hiredis' own: redis-py's, which is Python, takes as long as all else of a publish.
        self._unsent.append(pack_command(command))  # type: ignore[arg-type]
        self._wake.set()
        return future

    def _down(self) -> BrokerError:
        return BrokerError(self._endpoint, "publish", self._cause, CauseKind.LOST)

    def failed(self, topic: str, error: ResponseError) -> BrokerError:
        """The error of a publish that the broker answered with one."""
        return publish_error(self._endpoint, self.link, topic, error, kind_of(error) or standard_kind(error))

    async def dial(self) -> Connection:
        """Connect."""
        return await open_connection(self.link.target, self._key)

    async def serve(self, connection: Connection) -> None:
        """Write, read and ask for signs of life until one of them fails."""
        self._connection = connection
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write(connection))
            tasks.create_task(self._read(connection))
            tasks.create_task(self._beat())
            if by_sentinel(self._endpoint):
                tasks.create_task(watch_primary(self._endpoint, self.link.target, itself=False))

    async def _write(self, connection: Connection) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            unsent, self._unsent = self._unsent, []
            await send(connection, unsent)

    async def _read(self, connection: Connection) -> None:
        replies = self._replies
        while True:
            reply: Any
            try:
                reply = await connection.read_response()
            except ResponseError as error:
                reply = error
            future = replies.popleft()
            if future.done():  # its caller was cancelled
                continue
            if isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)

    async def _beat(self) -> None:
        """A sign of life that says whether the server is still the primary; PING for a user who may not ask that."""
        may_ask = True
        while True:
            await asyncio.sleep(min(WATCH_S, heartbeat_s(self._endpoint)))
            async with asyncio.timeout(self._endpoint.timeout_s):
                may_ask = may_ask and await require_primary(self._endpoint, self.submit)
                if not may_ask:
                    await self._ping()

    async def _ping(self) -> None:
        try:
            await self.submit("PING")
        except NoPermissionError:  # an answer all the same
            return

    def lost(self, cause: str) -> None:
        """Fail what waits for a reply."""
        self._connection = None
        self._cause = f"connection lost: {cause}"
        self._unsent.clear()
        self._wake.clear()
        replies, self._replies = self._replies, deque()
        for future in replies:
            if not future.done():
                future.set_exception(self._down())

    async def hang_up(self, connection: Connection) -> None:
        """Close the socket."""
        await close(connection)
