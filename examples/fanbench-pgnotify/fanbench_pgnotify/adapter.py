"""The adapter: producer, consumer, and what fanbench must know about them. At most once: PostgreSQL keeps nothing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from brokers.sdk import (
    BUFFER,
    ConsumerConnection,
    Delivery,
    Endpoint,
    Gap,
    Inbox,
    Link,
    Message,
    ProducerConnection,
    Refusal,
    TopicNames,
    keep_up,
)
from fanbench_pgnotify.notices import MAX_TOPIC_BYTES, channel_of
from fanbench_pgnotify.session import ERRORS, PORT, Session, calls


class PgNotifyProducer:
    """Publishes that overlap share transactions."""

    def __init__(self, line: ProducerConnection[Session]) -> None:
        self._line = line
        self.link = line.link

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the server committed it.

        Raises:
            TopicRefusedError: the topic is longer than MAX_TOPIC_BYTES, or no text.
            BrokerError: there is no connection, it was lost meanwhile, or the server refused.
        """
        self._line.name_of(topic)
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
        self.inbox = Inbox(endpoint.get(BUFFER))
        names = TopicNames(endpoint, MAX_TOPIC_BYTES, channel_of)
        self.line = ConsumerConnection(endpoint, self.inbox, calls(self._take), self._listen, names)

    @property
    def link(self) -> Link:
        """Whether the connection is up."""
        return self.line.link

    def _take(self, channel: str, topic: str, payload: bytes) -> None:
        if self.line.topics.get(channel) == topic:  # it may be unsubscribed by now
            self.inbox.put(topic, payload)

    async def _listen(self, session: Session, channels: Sequence[str]) -> dict[str, Refusal]:
        await session.listen(channels)
        return {}

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return once the server confirmed or refused each, which may be after a reconnect; the refused ones.

        Raises:
            BrokerError: it did not confirm within the endpoint's deadline; or history is asked for.
        """
        return await self.line.subscribe(topics, since_ns)

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
    max_topic_bytes = MAX_TOPIC_BYTES
    default_ports = dict.fromkeys(schemes, PORT)
    options = (BUFFER,)

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[PgNotifyProducer]:
        """Connect, and stay connected.

        Raises:
            BrokerError: the first attempt failed.
        """
        line = ProducerConnection(endpoint, calls(), TopicNames(endpoint, MAX_TOPIC_BYTES, channel_of))
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
