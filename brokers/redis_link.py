"""Connections to Redis and Valkey: the only file that knows redis-py, shared by pub/sub and streams."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import (
    NoPermissionError,
    RedisError,
    ResponseError,
)

from brokers.endpoint import Address, Endpoint
from brokers.errors import BrokerError, CauseKind
from brokers.options import whole_number
from brokers.redis_answers import bound_answers, forget_answers
from brokers.redis_primary import (
    PORT,
    SENTINEL_PASSWORD_FILE,
    SENTINEL_PORT,
    SENTINEL_USER,
    WATCH_S,
    NamedPrimary,
    by_sentinel,
    primary_at,
    primary_by_all,
    require_primary,
    service_of,
    watch_sentinels,
)
from brokers.tls import tls_context
from core.errors import UsageError
from core.paths import first_line

__all__ = [
    "DATABASE",
    "MAX_TOPIC_BYTES",
    "Connection",
    "NoPermissionError",
    "RedisConnectionError",
    "RedisError",
    "ResponseError",
    "ask",
    "close",
    "kind_of",
    "open_connection",
    "ports",
    "send",
    "slot_owners",
    "watch_primary",
]

DATABASE = whole_number("db", "database; the URL's path can give it too", 0)
MAX_TOPIC_BYTES = 65_536
"""The protocol's own limit is 512 MB, which no topic's name needs."""


_KINDS: dict[str, CauseKind] = {
    "READONLY": CauseKind.ELSEWHERE,
    "LOADING": CauseKind.ELSEWHERE,
    "MASTERDOWN": CauseKind.ELSEWHERE,
    "CLUSTERDOWN": CauseKind.ELSEWHERE,
    "MOVED": CauseKind.ELSEWHERE,
    "ASK": CauseKind.ELSEWHERE,
    "TRYAGAIN": CauseKind.ELSEWHERE,
    "UNBLOCKED": CauseKind.ELSEWHERE,
    "NOREPLICAS": CauseKind.ELSEWHERE,
    "OOM": CauseKind.BLOCKED,
    "MISCONF": CauseKind.BLOCKED,
    "BUSY": CauseKind.BLOCKED,
    "NOPERM": CauseKind.PERMISSION,
    "NOAUTH": CauseKind.AUTHENTICATION,
    "WRONGPASS": CauseKind.AUTHENTICATION,
    "WRONGTYPE": CauseKind.CONFLICT,
}
"""Maps the first word of the server's error, which redis-py removes if it has its own type for the error."""
_TYPES: tuple[tuple[str, CauseKind], ...] = (
    ("NoPermissionError", CauseKind.PERMISSION),
    ("AuthenticationError", CauseKind.AUTHENTICATION),
    ("AuthorizationError", CauseKind.AUTHENTICATION),
    ("ReadOnlyError", CauseKind.ELSEWHERE),
    ("BusyLoadingError", CauseKind.ELSEWHERE),
    ("MasterDownError", CauseKind.ELSEWHERE),
    ("ClusterDownError", CauseKind.ELSEWHERE),
    ("MovedError", CauseKind.ELSEWHERE),
    ("AskError", CauseKind.ELSEWHERE),
    ("TryAgainError", CauseKind.ELSEWHERE),
    ("OutOfMemoryError", CauseKind.BLOCKED),
    ("MaxConnectionsError", CauseKind.LIMIT),
    ("DemotedError", CauseKind.ELSEWHERE),
)


def kind_of(error: BaseException) -> CauseKind | None:
    """The kind of a redis-py error, or of the server's own message."""
    names = {cls.__name__ for cls in type(error).__mro__}
    for name, kind in _TYPES:
        if name in names:
            return kind
    words = str(error)
    if "max number of clients" in words:
        return CauseKind.LIMIT
    if "not enough good replicas" in words.lower():
        return CauseKind.ELSEWHERE
    return _KINDS.get(words.split(" ", 1)[0].lstrip("-"))


def ports(*schemes: str) -> dict[str, int]:
    """The default port of each scheme."""
    return {scheme: SENTINEL_PORT if scheme.endswith("+sentinel") else PORT for scheme in schemes}


def database(endpoint: Endpoint) -> int:
    """The database number in the URL's path or in `?db=`; 0 if there is none.

    Raises:
        UsageError: the path is not a number.
    """
    path = service_of(endpoint)[1] if by_sentinel(endpoint) else endpoint.path
    if path and not (path.isascii() and path.isdigit()):
        raise UsageError(f"{endpoint}: database '{path}' is not a number; write redis://host:port/0")
    if path and DATABASE.name in endpoint.options:
        raise UsageError(f"{endpoint}: its path and option 'db' both name a database; leave one out")
    return int(path or endpoint.get(DATABASE))


async def open_connection(endpoint: Endpoint, key: str = "") -> Connection:
    """Connect to the primary, or in a cluster to a key's primary, and log in. redis-py sets TCP_NODELAY.

    It retries nothing.
    """
    if by_sentinel(endpoint):
        endpoint = endpoint.at(await primary_by_all(endpoint, _ask_sentinel))
    elif endpoint.scheme.endswith("+cluster"):
        owner = (await slot_owners(endpoint))[key_slot(key.encode())]
        if owner is None:
            raise ConnectionError(f"CLUSTERDOWN the slot of '{key}' has no primary")
        endpoint = endpoint.at(owner)
    return await _open_server(endpoint)


async def _open_server(endpoint: Endpoint) -> Connection:
    """Connect to the endpoint's one host, a server, and log in."""
    connection = await _connected(endpoint, endpoint.username, endpoint.password, database(endpoint))
    try:
        await require_primary(endpoint, partial(ask, connection))
    except BaseException:
        await close(connection)
        raise
    return connection


async def _ask_sentinel(endpoint: Endpoint) -> NamedPrimary:
    """The primary according to the endpoint's one Sentinel."""
    path = endpoint.get(SENTINEL_PASSWORD_FILE)
    password = _first_line(endpoint, path) if path else None
    connection = await _connected(endpoint, endpoint.get(SENTINEL_USER) or None, password, 0)
    try:
        return await primary_at(endpoint, partial(ask, connection))
    finally:
        await close(connection)


async def slot_owners(endpoint: Endpoint) -> list[Address | None]:
    """The primary of each slot according to the endpoint's one host; None for a slot that has none now.

    Raises:
        ResponseError: it is not a cluster.
    """
    connection = await _connected(endpoint, endpoint.username, endpoint.password, 0)
    try:
        ranges = await ask(connection, "CLUSTER", "SLOTS")
    finally:
        await close(connection)
    owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
    for first, last, (host, port, *_), *_ in ranges:
        name = host.decode() if host else endpoint.host
        owners[first : last + 1] = [Address(name, port)] * (last - first + 1)
    return owners


def _first_line(endpoint: Endpoint, path: str) -> str:
    try:
        return first_line(path)
    except (OSError, ValueError):
        raise UsageError(
            f"{endpoint}: sentinel_password_file={path} cannot be read or is empty; give a file with the password in its first line"
        ) from None


async def _connected(endpoint: Endpoint, username: str | None, password: str | None, db: int) -> Connection:
    options: dict[str, Any] = {
        "db": db,
        "username": username,
        "password": password,
        # A blocking read has no deadline of its own; the heartbeat finds a dead link.
        "socket_timeout": None,
        "protocol": 2,
    }
    secure = endpoint.scheme.startswith("rediss")
    if endpoint.hosts[0].is_path:
        connection: Any = UnixDomainSocketConnection(path=endpoint.host, **options)
    else:
        options |= {"host": endpoint.host, "port": endpoint.port or PORT, "socket_connect_timeout": endpoint.timeout_s}
        connection = SSLConnection(**options) if secure else Connection(**options)
    if secure:
        connection.ssl_context.context = tls_context(endpoint)  # replaces the one that redis-py would make
    try:
        await connection.connect()
        bound_answers(connection)
    except BaseException as error:
        await connection.disconnect(nowait=True)
        if isinstance(error, ResponseError) and kind_of(error) is None:
            step = "check the user and the database in the URL"
            raise BrokerError(endpoint, "connect", str(error), CauseKind.NOT_FOUND, step) from None
        raise
    return cast("Connection", connection)


async def ask(connection: Connection, *command: str | bytes | int) -> Any:
    """Send one command and return its answer."""
    await send(connection, connection.pack_command(*command))
    return await connection.read_response()


async def watch_primary(endpoint: Endpoint, connection: Connection, *, itself: bool) -> None:
    """Watch until the connection's server is no longer the primary; the connection was dialled for `endpoint`.

    With `itself`, ask on a separate connection, because a subscribing one cannot.

    Raises:
        DemotedError: it is no longer the primary.
    """
    server = endpoint
    async with asyncio.TaskGroup() as tasks:
        if by_sentinel(endpoint):
            address = Address(connection.host, connection.port)
            server = endpoint.at(address)
            look = partial(primary_by_all, endpoint, _ask_sentinel)
            tasks.create_task(watch_sentinels(address, look))
        if itself:
            tasks.create_task(_watch_itself(server))


async def _watch_itself(server: Endpoint) -> None:
    connection: Connection | None = None
    try:
        while True:
            await asyncio.sleep(WATCH_S)
            if connection is None:
                connection = await _open_server(server)
            async with asyncio.timeout(server.timeout_s):
                if not await require_primary(server, partial(ask, connection)):
                    return
    finally:
        if connection is not None:
            await close(connection)


async def close(connection: Connection) -> None:
    """Close the socket."""
    await connection.disconnect(nowait=True)
    forget_answers(connection)


async def send(connection: Connection, commands: list[bytes]) -> None:
    """Write packed commands. If the connection is lost, redis-py would reconnect and lose replies.

    Raises:
        ConnectionError: the connection is lost.
    """
    if not connection.is_connected:
        raise ConnectionError("connection lost")
    await connection.send_packed_command(commands, check_health=False)
