"""Commands to Redis and their replies through one connection, without waiting for one before the next is sent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from hiredis import pack_command

from brokers.api import Done
from brokers.connection import publish_error
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind, standard_kind
from brokers.link import Link
from brokers.reconnect import heartbeat_s
from brokers.redis_feed import RedisFeed
from brokers.redis_link import (
    MAX_TOPIC_BYTES,
    Connection,
    NoPermissionError,
    ResponseError,
    close,
    kind_of,
    open_connection,
    watch_primary,
)
from brokers.redis_primary import WATCH_S, by_sentinel, require_primary
from brokers.topic_names import TopicNames

Command = tuple[str | bytes | int, ...]
Answered = Callable[[Any], None]


class Pipe:
    """Commands and their replies through one connection, without waiting for one before the next is sent.

    A `ReconnectLoop` for `keep_up`. redis-py's pool takes a connection for each command in flight, and refuses the 101st.
    """

    def __init__(self, endpoint: Endpoint, link: Link | None = None, key: str = "") -> None:
        """Give `link` if the connection is part of a larger one; all commands are about `key`."""
        self.link = link or Link(endpoint)
        self.names = TopicNames(endpoint, MAX_TOPIC_BYTES)
        self.kind_of = kind_of
        self._endpoint = endpoint
        self._key = key
        self._feed: RedisFeed | None = None
        self._cause = "not connected"
        self._waiting: deque[Answered] = deque()

    def begin(self, command: Command, answered: Answered) -> None:
        """Send a command with the next `flush`; `answered` is called with its reply, or its error.

        Raises:
            BrokerError: there is no connection.
        """
        if self._feed is None:
            raise self._down()
        self._waiting.append(answered)
        # hiredis packs the command: redis-py's Python code takes as long as the rest of a publish.
        self._feed.write(pack_command(command))  # type: ignore[arg-type]

    def publish(self, topic: str, command: Command, done: Done) -> None:
        """Send a command that publishes on a topic, like `begin` of `BeginsPublishing`.

        Raises:
            BrokerError: there is no connection.
        """

        def answered(reply: Any) -> None:
            if isinstance(reply, ResponseError):
                reply = self.failed(topic, reply)
            done(reply if isinstance(reply, BrokerError) else None)

        self.begin(command, answered)

    def flush(self) -> None:
        """Send the begun publishes; see `BeginsPublishing`."""
        if self._feed is not None:
            self._feed.flush()

    def submit(self, *command: str | bytes | int) -> asyncio.Future[Any]:
        """Send a command at the end of this turn of the event loop; the future has its reply, or its error.

        Raises:
            BrokerError: there is no connection.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def answered(reply: Any) -> None:
            if future.done():  # the caller was cancelled
                return
            if isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)

        self.begin(command, answered)
        if self._feed is not None:
            self._feed.flush_soon()
        return future

    def _down(self) -> BrokerError:
        return BrokerError(self._endpoint, "publish", self._cause, CauseKind.LOST)

    def failed(self, topic: str, error: ResponseError) -> BrokerError:
        """The error of a publish that the broker refused."""
        return publish_error(self._endpoint, self.link, topic, error, kind_of(error) or standard_kind(error))

    async def dial(self) -> Connection:
        """Connect."""
        return await open_connection(self.link.target, self._key)

    async def serve(self, connection: Connection) -> None:
        """Write, read and check that the broker answers, until one of them fails."""
        self._feed = RedisFeed(connection, self._answer)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._feed.wait_end())
            tasks.create_task(self._beat())
            if by_sentinel(self._endpoint):
                tasks.create_task(watch_primary(self.link.target, connection, itself=False))

    def _answer(self, reply: Any) -> None:
        self._waiting.popleft()(reply)

    async def _beat(self) -> None:
        """Check that the server answers and is still the primary; with PING if the user may not ask that."""
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
        except NoPermissionError:  # an error is an answer too
            return

    def lost(self, cause: str) -> None:
        """Fail the callers that wait for a reply."""
        self._feed = None
        self._cause = f"connection lost: {cause}"
        waiting, self._waiting = self._waiting, deque()
        for answered in waiting:
            answered(self._down())

    async def hang_up(self, connection: Connection) -> None:
        """Close the socket."""
        await close(connection)
