"""The adapter: producer, consumer, and what fanbench must know about them.

At most once: the forwarder keeps nothing.
"""

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
from fanbench_zmq.session import ERRORS, PORT, ZmqSession, calls
from fanbench_zmq.wire import MAX_TOPIC_BYTES, name_of


class ZmqProducer:
    """Publishes, each confirmed by an echo."""

    def __init__(self, line: ProducerConnection[ZmqSession]) -> None:
        self._line = line
        self.link = line.link

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the forwarder has passed it on.

        Raises:
            TopicRefusedError: the topic is longer than MAX_TOPIC_BYTES, or is not text.
            BrokerError: there is no connection, or it was lost meanwhile.
        """
        self._line.name_of(topic)
        session = self._line.connection
        if session is None:
            raise self._line.failed(topic)
        try:
            await session.publish(topic, payload)
        except ERRORS as error:
            raise self._line.failed(topic, error) from None


class ZmqConsumer:
    """Subscribes to each topic separately."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.inbox = Inbox(endpoint.get(BUFFER))
        names = TopicNames(endpoint, MAX_TOPIC_BYTES, name_of)
        self.line = ConsumerConnection(endpoint, self.inbox, calls(self._take), self._subscribe, names)

    @property
    def link(self) -> Link:
        """Whether the connection is up."""
        return self.line.link

    def _take(self, topic: str, payload: bytes) -> None:
        if topic in self.line.topics:  # it may have been unsubscribed
            self.inbox.put(topic, payload)

    async def _subscribe(self, session: ZmqSession, names: Sequence[str]) -> dict[str, Refusal]:
        await session.subscribe(names)
        return {}

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return once the forwarder confirmed each, which may be after a reconnect; the result contains the refused ones.

        Raises:
            BrokerError: it did not confirm within the endpoint's deadline; or history is requested.
        """
        return await self.line.subscribe(topics, since_ns)

    async def unsubscribe(self, *topics: str) -> None:
        """Stop yielding at once, and inform the forwarder."""
        names = self.line.forget(topics)
        session = self.line.connection
        if session is not None:
            with contextlib.suppress(*ERRORS, TimeoutError):  # the connection is lost: nothing to unsubscribe from
                await session.unsubscribe(names)

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox


class ZmqAdapter:
    """`zmq://host[:port]`: where the forwarder listens."""

    name = "zmq"
    schemes = ("zmq",)
    deliveries: tuple[Delivery, ...] = ("at-most-once",)
    replay = False
    max_topic_bytes = MAX_TOPIC_BYTES
    default_ports = dict.fromkeys(schemes, PORT)
    options = (BUFFER,)

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[ZmqProducer]:
        """Connect, and stay connected.

        Raises:
            BrokerError: the first attempt failed.
        """
        line = ProducerConnection(endpoint, calls(), TopicNames(endpoint, MAX_TOPIC_BYTES, name_of))
        async with keep_up(endpoint, line):
            yield ZmqProducer(line)

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[ZmqConsumer]:
        """Connect, and stay connected.

        Raises:
            BrokerError: the first attempt failed.
        """
        consumer = ZmqConsumer(endpoint)
        with contextlib.closing(consumer.inbox):
            async with keep_up(endpoint, consumer.line):
                yield consumer


adapter = ZmqAdapter()
