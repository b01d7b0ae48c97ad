"""Commands to Redis and their replies through one connection, without waiting for one before the next is sent."""

from __future__ import annotations

import asyncio
from typing import Any

from brokers.api import Done
from brokers.connection import publish_error
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind, standard_kind
from brokers.link import Link
from brokers.reconnect import heartbeat_s
from brokers.redis_commands import Answered, Command, RedisCommands
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
        self._commands: RedisCommands | None = None
        self._cause = "not connected"

    def begin(self, command: Command, answered: Answered) -> None:
        """Send a command with the next `flush`; `answered` is called with its reply, or its error.

        Raises:
            BrokerError: there is no connection.
        """
        self._open().begin(command, answered)

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
        if self._commands is not None:
            self._commands.flush()

    def submit(self, *command: str | bytes | int) -> asyncio.Future[Any]:
        """Send a command at the end of this turn of the event loop; the future has its reply, or its error.

        Raises:
            BrokerError: there is no connection.
        """
        return self._open().submit(*command)

    def _open(self) -> RedisCommands:
        if self._commands is None:
            raise self._down()
        return self._commands

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
        commands = self._commands = RedisCommands(connection)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(commands.wait_end())
            tasks.create_task(self._beat())
            if by_sentinel(self._endpoint):
                tasks.create_task(watch_primary(self.link.target, connection, itself=False))

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
        commands, self._commands = self._commands, None
        self._cause = f"connection lost: {cause}"
        if commands is not None:
            commands.fail(self._down())

    async def hang_up(self, connection: Connection) -> None:
        """Close the socket."""
        await close(connection)
