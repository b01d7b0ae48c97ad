"""Connections to PostgreSQL: the only file that knows asyncpg, shared by notifications and the outbox."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg

from brokers import tls
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind
from brokers.options import choice
from brokers.reconnect import finish, heartbeat_s
from core.errors import UsageError

PORT = 5432
ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""asyncpg's exceptions."""
SSL_MODE = choice(
    "sslmode",
    "TLS as in libpq: require checks nothing; verify-full, the default with a TLS option, checks authority and name",
    ("disable", "prefer", "require", "verify-ca", "verify-full"),
    "prefer",
)
SSL_NEGOTIATION = choice(
    "sslnegotiation", "direct: TLS from the first byte (PostgreSQL 17 and later)", ("postgres", "direct"), "postgres"
)
TARGET = choice(
    "target_session_attrs",
    "which server is acceptable: a writable one, one that is not a standby, or any",
    ("read-write", "primary", "any"),
    "read-write",
)
OPTIONS = (SSL_MODE, SSL_NEGOTIATION, TARGET, *tls.OPTIONS)
WATCH_S = 1.0
"""How often a side checks whether its server still accepts writes."""
_READ_ONLY = "SELECT pg_catalog.current_setting('transaction_read_only') = 'on', pg_catalog.pg_is_in_recovery()"

_BY_STATE: dict[str, CauseKind] = {
    "22023": CauseKind.INVALID,
    "22P05": CauseKind.INVALID,  # a character that the database's encoding lacks
    "25006": CauseKind.ELSEWHERE,  # read-only: a standby, or a demoted primary
    "28000": CauseKind.AUTHENTICATION,
    "28P01": CauseKind.AUTHENTICATION,
    "3D000": CauseKind.NOT_FOUND,
    "42501": CauseKind.PERMISSION,
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
    if isinstance(error, DemotedServerError | asyncpg.TargetServerAttributeNotMatched):
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
    """Raise unless the server meets `target_session_attrs`.

    Raises:
        DemotedServerError: it does not.
    """
    wanted = session.endpoint.get(TARGET)
    if wanted == "any":
        await session.fetch("SELECT 1")
        return
    ((read_only, standby),) = await session.fetch(_READ_ONLY)
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
    try:
        connection = await asyncpg.connect(
            host=endpoint.host,
            port=endpoint.port or PORT,
            user=endpoint.username,
            password=endpoint.password,
            database=endpoint.path or None,
            ssl=secure,
            direct_tls=name == "direct",
            timeout=None,  # keep_up has a deadline around this
            server_settings={"application_name": endpoint.prefix},
            connection_class=ListeningConnection,
        )
    except asyncpg.InvalidCatalogNameError as error:
        step = "name one that exists, as the URL's path"
        raise BrokerError(endpoint, "connect", str(error), CauseKind.NOT_FOUND, step) from None
    session = PostgresSession(connection, endpoint)
    try:
        await require_target(session)
    except BaseException:
        await session.hang_up()
        raise
    return session


def tls_of(endpoint: Endpoint) -> tuple[ssl.SSLContext | str | bool, str]:
    """asyncpg's TLS mode and negotiation.

    Raises:
        UsageError: options that contradict each other, or a file that cannot be used.
    """
    given = [option.name for option in tls.OPTIONS if option.name in endpoint.options]
    mode, begun = endpoint.get(SSL_MODE), endpoint.get(SSL_NEGOTIATION)
    if SSL_MODE.name not in endpoint.options and (given or begun == "direct"):
        mode = "verify-full"
    if mode in ("disable", "prefer"):
        if given or begun == "direct":
            what = given[0] if given else SSL_NEGOTIATION.name
            raise UsageError(
                f"{endpoint}: option '{what}' has no meaning with sslmode={mode}; write sslmode=verify-full"
            )
        return False if mode == "disable" else "prefer", begun
    context = tls.tls_context(endpoint)
    if mode != "verify-full":
        context.check_hostname = False
    if mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return context, begun
