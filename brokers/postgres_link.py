"""Connections to PostgreSQL, shared by notifications and the outbox: with postgres_pooler.py, what knows asyncpg."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg

from brokers import postgres_pooler, tls
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind
from brokers.options import choice
from brokers.postgres_tls import SSL_MODE, SSL_NEGOTIATION, tls_of
from brokers.reconnect import finish, heartbeat_s

PORT = 5432
ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""asyncpg's exceptions."""
TARGET = choice(
    "target_session_attrs",
    "which server is acceptable: a writable one, one that is not a standby, or any",
    ("read-write", "primary", "any"),
    "read-write",
)
OPTIONS = (SSL_MODE, SSL_NEGOTIATION, TARGET, *tls.OPTIONS)
WATCH_S = 1.0
"""How often a side checks whether its server still accepts writes."""
_READ_ONLY = (
    "SELECT pg_catalog.current_setting('transaction_read_only') = 'on', pg_catalog.pg_is_in_recovery(), "
    + postgres_pooler.SERVER_PROCESS
)

_BY_STATE: dict[str, CauseKind] = {
    "22023": CauseKind.INVALID,
    "22P05": CauseKind.INVALID,  # a character that the database's encoding lacks
    "25006": CauseKind.ELSEWHERE,  # read-only: a standby, or a demoted primary
    "28000": CauseKind.AUTHENTICATION,
    "28P01": CauseKind.AUTHENTICATION,
    "3D000": CauseKind.NOT_FOUND,
    "3F000": CauseKind.NOT_FOUND,  # a schema
    "42501": CauseKind.PERMISSION,
    "42703": CauseKind.CONFLICT,  # the table has other columns
    "42804": CauseKind.CONFLICT,
    "42P01": CauseKind.ELSEWHERE,  # an existing table is gone: the next connection recreates it
    "53100": CauseKind.BLOCKED,
    "53200": CauseKind.BLOCKED,
    "53300": CauseKind.LIMIT,
    "54000": CauseKind.BLOCKED,  # the queue of notifications is full: a session listens in an open transaction
    "55P03": CauseKind.BLOCKED,
    "57014": CauseKind.BLOCKED,  # statement_timeout, or cancelled by an operator
    "57P01": CauseKind.ELSEWHERE,
    "57P02": CauseKind.ELSEWHERE,
    "57P03": CauseKind.ELSEWHERE,
}
"""The kinds by SQLSTATE, from PostgreSQL's table of error codes."""


class DemotedServerError(ConnectionError):
    """The server does not accept writes, or no longer does."""


def kind_of(error: BaseException) -> CauseKind | None:
    """The kinds of asyncpg's errors; None if the standard library's types decide."""
    if isinstance(
        error, DemotedServerError | postgres_pooler.SharedServerError | asyncpg.TargetServerAttributeNotMatched
    ):
        return CauseKind.ELSEWHERE
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate:
        return _BY_STATE.get(error.sqlstate)
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return CauseKind.LOST
    return None


class ListeningConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection with one callback for all channels; asyncpg's own takes a callback and a round trip for each."""

    heard: Callable[[str, str], None] | None = None
    """Called with channel and payload of each notification."""

    def _process_notification(self, _pid: int, channel: str, payload: str) -> None:
        if self.heard is not None:
            self.heard(channel, payload)


@dataclass(eq=False)
class PostgresSession:
    """A connection with one request at a time, as asyncpg requires.

    A request is not cancelled half-way: asyncpg would do that through a second connection, which may hang where the first
    does. A request without an answer within the endpoint's deadline ends the connection instead.
    """

    connection: Any
    endpoint: Endpoint
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _lost: asyncio.Event = field(default_factory=asyncio.Event)
    _cause: str = "closed by the server"
    server_process: int = 0
    """The process id of the server's side, at the last look."""

    def __post_init__(self) -> None:
        self.connection.add_termination_listener(lambda _: self._lost.set())

    def on_notification(self, heard: Callable[[str, str], None]) -> None:
        """Pass the channel and payload of each notification to `take`."""
        self.connection.heard = heard

    async def execute(self, query: str, *values: Any) -> None:
        """Run a statement, or several without values; raises asyncpg's errors."""
        await self._ask(partial(self.connection.execute, query, *values))

    async def fetch(self, query: str, *values: Any) -> Sequence[Any]:
        """Return the rows of a query; raises asyncpg's errors."""
        found: Sequence[Any] = await self._ask(partial(self.connection.fetch, query, *values))
        return found

    async def _ask(self, request: Callable[[], Any]) -> Any:
        async with self._turn:
            alarm = asyncio.get_running_loop().call_later(self.endpoint.timeout_s, self._give_up)
            try:
                return await finish(request())
            except postgres_pooler.FOREIGN_STATEMENTS as error:
                raise postgres_pooler.SharedServerError(f"another server process answers ({error.sqlstate})") from None
            except asyncpg.InternalClientError:  # asyncpg may be confused by how the server died, and stay so
                self.connection.terminate()
                raise
            finally:
                alarm.cancel()
                if self.connection.is_closed():  # asyncpg does not always call its listener in this case
                    self._lost.set()

    def _give_up(self) -> None:
        self._cause = f"no answer within {self.endpoint.timeout_s:g} s"
        self.connection.terminate()

    async def watch(self) -> None:
        """Regularly check that the server accepts writes, and thus is alive, until the connection is lost.

        Raises:
            ConnectionError: it is lost, or the server no longer accepts writes.
        """
        while not (self._lost.is_set() or self.connection.is_closed()):
            try:
                async with asyncio.timeout(min(WATCH_S, heartbeat_s(self.endpoint))):
                    await self._lost.wait()
            except TimeoutError:
                try:
                    await require_target(self)
                except asyncpg.QueryCanceledError:  # statement_timeout is an answer too
                    continue
                except (asyncpg.InterfaceError, asyncpg.InternalClientError):  # it is lost; the loop will notice
                    continue
        raise ConnectionError(self._cause)

    async def hang_up(self) -> None:
        """Close the socket; the server then ends its work for this connection."""
        self.connection.terminate()


async def require_target(session: PostgresSession) -> None:
    """Raise unless the server meets `target_session_attrs`, and is the same process as before.

    Raises:
        DemotedServerError: it does not. SharedServerError: it is another process.
    """
    wanted = session.endpoint.get(TARGET)
    ((read_only, standby, process),) = await session.fetch(_READ_ONLY)
    before, session.server_process = session.server_process, process
    if before not in (0, process):
        raise postgres_pooler.SharedServerError(f"another server process answers ({process}, before {before})")
    if wanted == "any":
        return
    if standby:
        raise DemotedServerError(f"{session.endpoint.hosts[0]} is a standby")
    if read_only and wanted == "read-write":
        raise DemotedServerError(f"{session.endpoint.hosts[0]} is read-only")


async def dial(endpoint: Endpoint) -> PostgresSession:
    """Connect and log in to the endpoint's one host; leaves nothing open when it raises.

    Raises:
        BrokerError: there is no such database. Otherwise asyncpg's errors.
    """
    secure, name = tls_of(endpoint)
    connect = partial(_connected, endpoint, secure, direct=name == "direct")
    try:
        session = PostgresSession(await connect(), endpoint)
    except asyncpg.InvalidCatalogNameError as error:
        step = "name one that exists, as the URL's path"
        raise BrokerError(endpoint, "connect", str(error), CauseKind.NOT_FOUND, step) from None
    try:
        await require_target(session)
        await postgres_pooler.require_own_process(session.connection, session.server_process, connect)
    except postgres_pooler.SharedServerError as error:
        await session.hang_up()
        raise BrokerError(endpoint, "connect", str(error), CauseKind.WRONG_PROTOCOL, postgres_pooler.STEP) from None
    except BaseException:
        await session.hang_up()
        raise
    return session


async def _connected(endpoint: Endpoint, secure: ssl.SSLContext | str | bool, *, direct: bool) -> Any:
    """A connection of asyncpg's."""
    return await asyncpg.connect(
        host=endpoint.host,
        port=endpoint.port or PORT,
        user=endpoint.username,
        password=endpoint.password,
        database=endpoint.path or None,
        ssl=secure,
        direct_tls=direct,
        timeout=None,  # keep_up has a deadline around this
        server_settings={"application_name": endpoint.prefix},
        connection_class=ListeningConnection,
    )
