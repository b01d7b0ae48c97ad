"""Connections to Redis and Valkey: the one file that knows redis-py, shared by pub/sub and streams."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from brokers.connection import publish_error
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind, standard_kind
from brokers.link import Link
from brokers.reconnect import heartbeat_s
from brokers.tls import tls_context
from brokers.topic_names import TopicNames
from core.errors import UsageError

__all__ = [
    "MAX_TOPIC_BYTES",
    "PORT",
    "Connection",
    "Pipe",
    "RedisError",
    "ResponseError",
    "close",
    "kind_of",
    "open_connection",
    "send",
]

PORT = 6379
MAX_TOPIC_BYTES = 65_536
"""The protocol's own limit is 512 MB, which is nobody's name of a topic."""


def kind_of(error: BaseException) -> CauseKind | None:
    """What redis-py's errors mean."""
    if isinstance(error, NoPermissionError):
        return CauseKind.PERMISSION
    if isinstance(error, AuthenticationError | AuthorizationError):
        return CauseKind.AUTHENTICATION
    return None


def database(endpoint: Endpoint) -> int:
    """The database number in the URL's path, 0 without one.

    Raises:
        UsageError: the path is not a number.
    """
    if endpoint.path and not (endpoint.path.isascii() and endpoint.path.isdigit()):
        raise UsageError(f"{endpoint}: database '{endpoint.path}' is not a number; write redis://host:port/0")
    return int(endpoint.path or 0)


async def open_connection(endpoint: Endpoint) -> Connection:
    """A connection, logged in; redis-py sets TCP_NODELAY, and its own retries are off."""
    options: dict[str, Any] = {
        "host": endpoint.host,
        "port": endpoint.port or PORT,
        "db": database(endpoint),
        "username": endpoint.username or None,
        "password": endpoint.password,
        # A blocking read has no deadline of its own; the heartbeat finds a dead link.
        "socket_timeout": None,
        "socket_connect_timeout": endpoint.timeout_s,
        "protocol": 2,
    }
    secure = endpoint.scheme.startswith("rediss")
    connection: Any = SSLConnection(**options) if secure else Connection(**options)
    if secure:
        connection.ssl_context.context = tls_context(endpoint)  # in place of one that redis-py would make
    try:
        await connection.connect()
    except BaseException as error:
        await connection.disconnect(nowait=True)
        if isinstance(error, ResponseError) and kind_of(error) is None:
            step = "check the user and the database in the URL"
            raise BrokerError(endpoint, "connect", str(error), CauseKind.NOT_FOUND, step) from None
        raise
    return cast("Connection", connection)


async def close(connection: Connection) -> None:
    """Close the socket."""
    await connection.disconnect(nowait=True)


async def send(connection: Connection, commands: list[bytes]) -> None:
    """Write packed commands. redis-py would connect anew where the connection is lost, and lose replies with that.

    Raises:
        ConnectionError: the connection is lost.
    """
    if not connection.is_connected:
        raise ConnectionError("connection lost")
    await connection.send_packed_command(commands, check_health=False)


class Pipe:
    """Commands and their replies through one connection, without waiting for one before the next is sent.

    A `ReconnectLoop` for `keep_up`. redis-py's pool takes a connection for each command under way, and refuses the 101st.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.link = Link(endpoint)
        self.names = TopicNames(endpoint, MAX_TOPIC_BYTES)
        self.kind_of = kind_of
        self._endpoint = endpoint
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
        self._unsent += self._connection.pack_command(*command)
        self._wake.set()
        return future

    def _down(self) -> BrokerError:
        return BrokerError(self._endpoint, "publish", self._cause, CauseKind.LOST)

    def failed(self, topic: str, error: ResponseError) -> BrokerError:
        """The error of a publish that the broker answered with one."""
        return publish_error(self._endpoint, self.link, topic, error, kind_of(error) or standard_kind(error))

    async def dial(self) -> Connection:
        """Connect."""
        return await open_connection(self.link.target)

    async def serve(self, connection: Connection) -> None:
        """Write, read and ask for signs of life until one of them fails."""
        self._connection = connection
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write(connection))
            tasks.create_task(self._read(connection))
            tasks.create_task(self._beat())

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
        while True:
            await asyncio.sleep(heartbeat_s(self._endpoint))
            async with asyncio.timeout(self._endpoint.timeout_s):
                await self.submit("PING")

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
