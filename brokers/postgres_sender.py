"""Publishes to PostgreSQL through one connection: publishes during a request are sent together in the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from brokers.connection import Calls, publish_error
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind, Reaction, reaction_to
from brokers.link import Link
from brokers.postgres_link import ERRORS, PostgresSession
from brokers.topic_names import TopicNames

BATCH = 1_000
BATCH_BYTES = 1024 * 1024
"""The limit of one request, which has at least one message."""
D = TypeVar("D", str, bytes)


@dataclass(slots=True, eq=False)
class Outgoing(Generic[D]):
    """A message that waits for its request."""

    name: str
    """Its topic's name."""
    data: D
    stored: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class PostgresSender(Generic[D]):
    """A `ReconnectLoop` for `keep_up`; `store` sends messages in one request, which stores all or none of them."""

    def __init__(
        self,
        endpoint: Endpoint,
        calls: Calls[PostgresSession],
        store: Callable[[PostgresSession, Sequence[Outgoing[D]]], Awaitable[None]],
        names: TopicNames,
    ) -> None:
        self.link = Link(endpoint)
        self.kind_of = calls.kind_of
        self.names = names
        self._endpoint = endpoint
        self._calls = calls
        self._store: Callable[[PostgresSession, Sequence[Outgoing[D]]], Awaitable[None]] = store
        self._session: PostgresSession | None = None
        self._cause = "not connected"
        self._waiting: deque[Outgoing[D]] = deque()
        self._sent: list[Outgoing[D]] = []
        self._wake = asyncio.Event()

    async def publish(self, topic: str, name: str, data: D) -> None:
        """Return once the server has committed it.

        Raises:
            BrokerError: there is no connection, it was lost in between, or the server refused.
        """
        if self._session is None:
            raise self._down()
        outgoing = Outgoing(name, data)
        self._waiting.append(outgoing)
        self._wake.set()
        try:
            await outgoing.stored
        except ERRORS as error:
            raise publish_error(self._endpoint, self.link, topic, error, self._calls.kind(error)) from None

    def _down(self) -> BrokerError:
        return BrokerError(self._endpoint, "publish", self._cause, CauseKind.LOST)

    async def dial(self) -> PostgresSession:
        """Connect."""
        return await self._calls.dial(self.link.target)

    async def serve(self, session: PostgresSession) -> None:
        """Send and watch until one of them fails."""
        self._session = session
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send(session))
            tasks.create_task(session.watch())

    async def _send(self, session: PostgresSession) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                self._sent = self._next_batch()
                await self._send_batch(session, self._sent)

    def _next_batch(self) -> list[Outgoing[D]]:
        batch: list[Outgoing[D]] = []
        size_bytes = 0
        while self._waiting and len(batch) < BATCH and size_bytes < BATCH_BYTES:
            outgoing = self._waiting.popleft()
            if not outgoing.stored.done():  # otherwise its caller was cancelled
                batch.append(outgoing)
                size_bytes += len(outgoing.data)
        return batch

    async def _send_batch(self, session: PostgresSession, batch: Sequence[Outgoing[D]]) -> None:
        """Send one request.

        If the server refuses it, send each message separately, so that one cannot fail the others.
        """
        if not batch:
            return
        try:
            await self._store(session, batch)
        except ERRORS as error:
            if len(batch) > 1 and reaction_to(self._calls.kind(error)) is Reaction.REFUSED:
                for outgoing in batch:
                    await self._send_batch(session, [outgoing])
                return
            settle(batch, error)
            if reaction_to(self._calls.kind(error)) is Reaction.GONE:
                raise
        else:
            settle(batch)

    def lost(self, cause: str) -> None:
        """Fail the waiting messages."""
        self._session = None
        self._cause = f"connection lost: {cause}"
        self._wake.clear()
        settle([*self._sent, *self._waiting], self._down())
        self._waiting.clear()
        self._sent = []

    async def hang_up(self, session: PostgresSession) -> None:
        """Close the socket."""
        await session.hang_up()


def settle(batch: Sequence[Outgoing[D]], error: Exception | None = None) -> None:
    """Tell the callers that their messages are stored, or the reason why not."""
    for outgoing in batch:
        if not outgoing.stored.done():
            outgoing.stored.set_result(None) if error is None else outgoing.stored.set_exception(error)
