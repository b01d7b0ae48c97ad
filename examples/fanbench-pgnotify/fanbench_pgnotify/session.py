"""A connection to PostgreSQL: the one file that knows asyncpg."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg

from brokers.sdk import BrokerError, Calls, CauseKind, Endpoint, finish, heartbeat_s
from fanbench_pgnotify.notices import Joiner, channel_of, split

ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What asyncpg raises."""
PORT = 5432
_BATCH_PARTS = 1_000
_CLOSE_TIMEOUT_S = 0.5
_NOTIFY = "SELECT count(pg_notify(channel, text)) FROM unnest($1::text[], $2::text[]) AS part(channel, text)"
_SETTINGS = {
    # A notification does not survive a crash: there is no use in waiting until its commit is on disk.
    "synchronous_commit": "off",
}


@dataclass(slots=True)
class _Outgoing:
    """A message that waits for its transaction."""

    channel: str
    parts: list[str]
    sent: asyncio.Future[None]


@dataclass(eq=False)
class Session:
    """A connection that is asked one thing at a time, as asyncpg must be.

    A request is never cancelled: asyncpg would do that through a second connection, which may hang where the first
    does. One that is not answered within the endpoint's deadline ends the connection instead.
    """

    connection: Any
    endpoint: Endpoint
    take: Callable[[str, str, bytes], None] | None = None
    """Called with channel, topic and payload of each message."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _lost: asyncio.Event = field(default_factory=asyncio.Event)
    _cause: str = "closed by the server"
    _listening: set[str] = field(default_factory=set)
    _joiner: Joiner = field(default_factory=Joiner)
    _outbox: deque[_Outgoing] = field(default_factory=deque)
    _sending: asyncio.Task[None] | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.connection.add_termination_listener(lambda _: self._lost.set())

    async def listen(self, channels: Iterable[str]) -> None:
        """Return once the server confirmed all of them, one round trip for each; raises what asyncpg raises."""
        for channel in channels:
            await self._ask(partial(self._listen, channel))

    async def _listen(self, channel: str) -> None:
        if channel not in self._listening:
            await self.connection.add_listener(channel, self._heard)
            self._listening.add(channel)

    async def unlisten(self, channels: Iterable[str]) -> None:
        """Return once the server sends no more of these; raises what asyncpg raises."""
        for channel in channels:
            await self._ask(partial(self._unlisten, channel))

    async def _unlisten(self, channel: str) -> None:
        self._listening.discard(channel)
        await self.connection.remove_listener(channel, self._heard)

    def _heard(self, _: object, sender: int, channel: str, notification: str) -> None:
        message = self._joiner.add(sender, notification)
        if message is not None and self.take is not None:
            self.take(channel, *message)

    async def notify(self, topic: str, payload: bytes) -> None:
        """Return once the server has committed it; raises what asyncpg raises.

        What comes while a transaction is under way goes together in the next one, in the order of the calls.
        """
        parts = split(next(self._numbers), topic, payload)
        outgoing = _Outgoing(channel_of(topic), parts, asyncio.get_running_loop().create_future())
        self._outbox.append(outgoing)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send(), name=f"{self.endpoint} notify")
        await outgoing.sent

    async def _send(self) -> None:
        while self._outbox:
            batch, channels, parts = self._next_batch()
            error: Exception | None = None
            try:
                await self._ask(partial(self.connection.execute, _NOTIFY, channels, parts))
            except Exception as refused:  # it is for those who wait for the messages
                error = refused
            for outgoing in batch:
                if not outgoing.sent.done():
                    outgoing.sent.set_result(None) if error is None else outgoing.sent.set_exception(error)

    def _next_batch(self) -> tuple[list[_Outgoing], list[str], list[str]]:
        batch: list[_Outgoing] = []
        channels: list[str] = []
        parts: list[str] = []
        while self._outbox and len(parts) < _BATCH_PARTS:
            outgoing = self._outbox.popleft()
            if not outgoing.sent.cancelled():
                batch.append(outgoing)
                channels += [outgoing.channel] * len(outgoing.parts)
                parts += outgoing.parts
        return batch, channels, parts

    async def until_lost(self) -> None:
        """Ask for a sign of life now and then, until the connection is gone.

        Raises:
            ConnectionError: it is.
        """
        while not (self._lost.is_set() or self.connection.is_closed()):
            try:
                async with asyncio.timeout(heartbeat_s(self.endpoint)):
                    await self._lost.wait()
            except TimeoutError:
                with contextlib.suppress(*ERRORS):  # then it is lost, or answered that it would rather not
                    await self._ask(partial(self.connection.execute, "SELECT 1"))
        raise ConnectionError(self._cause)

    async def _ask(self, request: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        async with self._turn:
            alarm = asyncio.get_running_loop().call_later(self.endpoint.timeout_s, self._give_up)
            try:
                await finish(request())
            except asyncpg.InternalClientError:  # asyncpg is confused by how a server died, and would stay so
                self.connection.terminate()
                raise
            finally:
                alarm.cancel()
                if self.connection.is_closed():  # asyncpg does not always call its listener then
                    self._lost.set()

    def _give_up(self) -> None:
        self._cause = f"no answer within {self.endpoint.timeout_s:g} s"
        self.connection.terminate()

    async def hang_up(self) -> None:
        """Send what waits, and close."""
        try:
            if self._sending is not None:
                await asyncio.wait([self._sending])
            async with self._turn:
                await self.connection.close(timeout=_CLOSE_TIMEOUT_S)
        finally:
            self.connection.terminate()


async def dial(endpoint: Endpoint, take: Callable[[str, str, bytes], None] | None = None) -> Session:
    """Connect and log in; leaves nothing open when it raises what asyncpg raises, or BrokerError."""
    try:
        connection = await asyncpg.connect(
            host=endpoint.host,
            port=endpoint.port or PORT,
            user=endpoint.username,
            password=endpoint.password,
            database=endpoint.path or None,
            ssl=False,
            timeout=None,  # keep_up has a deadline around this
            server_settings=_SETTINGS | {"application_name": endpoint.prefix},
        )
    except asyncpg.InvalidCatalogNameError as error:
        raise BrokerError(
            endpoint, "connect", str(error), CauseKind.NOT_FOUND, "name one that exists, as the URL's path"
        ) from None
    return Session(connection, endpoint, take)


def kind_of(error: BaseException) -> CauseKind | None:
    """What asyncpg's errors mean; None for what the standard library's types say."""
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return CauseKind.AUTHENTICATION
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return CauseKind.PERMISSION
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError | asyncpg.CannotConnectNowError):
        return CauseKind.ELSEWHERE  # a standby, or a server that is stopping: NOTIFY is for the primary alone
    if isinstance(error, asyncpg.TooManyConnectionsError):
        return CauseKind.LIMIT
    return CauseKind.LOST if isinstance(error, asyncpg.InterfaceError) else None


def calls(take: Callable[[str, str, bytes], None] | None = None) -> Calls[Session]:
    """asyncpg for ProducerConnection and ConsumerConnection."""
    return Calls(lambda endpoint: dial(endpoint, take), Session.until_lost, Session.hang_up, ERRORS, kind_of)
