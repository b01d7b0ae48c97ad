"""The adapter: producer, consumer, and what fanbench must know about them. At most once: PostgreSQL keeps nothing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from brokers import inbox
from brokers.api import Delivery, Gap, Message
from brokers.connection import ConsumerConnection, ProducerConnection
from brokers.endpoint import Endpoint
from brokers.reconnect import keep_up
from fanbench_pgnotify.notices import channel_of
from fanbench_pgnotify.session import DEFAULT_PORT, ERRORS, Session, calls


class PgNotifyProducer:
    """Publishes that overlap share transactions."""

    def __init__(self, line: ProducerConnection[Session]) -> None:
        self._line = line

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the server committed it.

        Raises:
            BrokerError: there is no connection, it was lost meanwhile, or the server refused.
        """
        session = self._line.connection
        if session is None:
            raise self._line.failed(topic)
        try:
            await session.notify(topic, payload)
        except ERRORS as error:
            raise self._line.failed(topic, error) from None


class PgNotifyConsumer:
    """Listens on one channel for each topic."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.inbox = inbox.Inbox(endpoint.whole_number("buffer", inbox.DEFAULT_CAPACITY))
        self.line = ConsumerConnection(endpoint, self.inbox, calls(endpoint, self._take), self._listen, channel_of)

    def _take(self, channel: str, topic: str, payload: bytes) -> None:
        if self.line.topics.get(channel) == topic:  # it may be unsubscribed by now
            self.inbox.put(topic, payload)

    async def _listen(self, session: Session, channels: Sequence[str]) -> None:
        await session.listen(channels)

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> None:
        """Return once the server confirmed, which may be after a reconnect.

        Raises:
            BrokerError: it refused, or did not confirm within the endpoint's deadline; or history is asked for.
        """
        await self.line.subscribe(topics, since_ns)

    async def unsubscribe(self, *topics: str) -> None:
        """Stop at once here, and tell the server."""
        channels = self.line.forget(topics)
        session = self.line.connection
        if session is not None:
            with contextlib.suppress(*ERRORS):  # lost: nothing is left to unsubscribe from
                await session.unlisten(channels)

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox


class PgNotifyAdapter:
    """`pgnotify://user:password@host[:port]/database`."""

    name = "pgnotify"
    schemes = ("pgnotify",)
    deliveries: tuple[Delivery, ...] = ("at-most-once",)
    replay = False
    default_port = DEFAULT_PORT
    options = inbox.OPTION

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[PgNotifyProducer]:
        """Connect, and stay connected.

        Raises:
            BrokerError: the first attempt failed.
        """
        line = ProducerConnection(endpoint, calls(endpoint))
        async with keep_up(endpoint, line):
            yield PgNotifyProducer(line)

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[PgNotifyConsumer]:
        """Connect, and stay connected.

        Raises:
            BrokerError: the first attempt failed.
        """
        consumer = PgNotifyConsumer(endpoint)
        with contextlib.closing(consumer.inbox):
            async with keep_up(endpoint, consumer.line):
                yield consumer


adapter = PgNotifyAdapter()
