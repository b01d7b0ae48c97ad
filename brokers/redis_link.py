"""Connections to Redis and Valkey: the one file that knows redis-py, shared by pub/sub and streams."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError

from brokers.endpoint import BrokerError, Endpoint
from brokers.reconnect import heartbeat_s, refused
from brokers.tls import tls_context
from core.errors import UsageError

__all__ = ["DEFAULT_PORT", "Connection", "Pipe", "RedisError", "ResponseError", "close", "open_connection", "send"]

DEFAULT_PORT = 6379


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
        "port": endpoint.port or DEFAULT_PORT,
        "db": database(endpoint),
        "username": endpoint.username or None,
        "password": endpoint.password,
        # A blocking read has no deadline of its own; the heartbeat finds a dead link.
        "socket_timeout": None,
        "socket_connect_timeout": endpoint.timeout_s,
        "protocol": 2,
    }
    secure = endpoint.scheme.startswith("rediss")
    if secure:
        tls_context(endpoint)  # says in plain words what is wrong with the CA file
        options["ssl_ca_certs"] = endpoint.options.get("ca_file")
    connection: Any = SSLConnection(**options) if secure else Connection(**options)
    try:
        await connection.connect()
    except BaseException as error:
        await connection.disconnect(nowait=True)
        if isinstance(error, AuthenticationError | AuthorizationError):
            raise refused(endpoint, error) from None
        if isinstance(error, ResponseError):
            raise refused(endpoint, error, "check the user and the database in the URL") from None
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
        return BrokerError(self._endpoint, "publish", self._cause, "it is sent once the connection is back: try again")

    async def dial(self) -> Connection:
        """Connect."""
        return await open_connection(self._endpoint)

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
