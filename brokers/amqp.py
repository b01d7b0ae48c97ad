"""RabbitMQ by AMQP 0-9-1, through aio-pika: a direct exchange, and one queue for each consumer, bound to its topics.

At most once: an exclusive queue that goes with its connection. At least once: publisher confirms, and a durable queue
that outlives a lost connection or a restart of the broker for a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

from brokers import inbox, tls
from brokers.amqp_link import (
    MAX_TOPIC_BYTES,
    PORT,
    TLS_PORT,
    AmqpConnection,
    AmqpPublisher,
    DeliveredMessage,
    calls,
    errors,
    topic_names,
)
from brokers.api import Delivery, Gap, Message
from brokers.connection import ProducerConnection
from brokers.consumer_connection import ConsumerConnection
from brokers.endpoint import Endpoint
from brokers.errors import Refusal
from brokers.link import Link
from brokers.options import choice, text
from brokers.reconnect import finish, keep_up

CONFIRMS = choice("confirms", "in place of naming the delivery", ("true", "false"), "", "false")
EXCHANGE = text(
    "exchange", "name of the direct exchange that is published to", default_words="fanbench, or the run's name"
)

QUEUE_EXPIRES_MS = 60_000
PREFETCH = 1_000
_ACK_EVERY = 64


def with_confirms(endpoint: Endpoint) -> bool:
    """Whether the promise is at-least-once."""
    return endpoint.delivery == "at-least-once"


def exchange_of(endpoint: Endpoint) -> str:
    """The exchange's name."""
    return endpoint.get(EXCHANGE) or endpoint.prefix


async def declare_exchange(endpoint: Endpoint, link: AmqpConnection) -> None:
    """Both sides do, so that either may come first."""
    await link.channel.exchange_declare(exchange_of(endpoint), exchange_type="direct", durable=True)


class AmqpProducer:
    """Publishes to the exchange, the topic as routing key."""

    def __init__(self, line: ProducerConnection[AmqpConnection]) -> None:
        self._line = line
        self._name_of = line.name_of
        self.link = line.link
        self._exchange = exchange_of(line.endpoint)
        self._publisher = AmqpPublisher(persistent=with_confirms(line.endpoint))

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once aiormq has taken the message; with confirms once every bound queue has it on disk."""
        link = self._line.connection
        if link is None:
            raise self._line.failed(topic)
        try:
            await self._publisher.publish(link, self._exchange, self._name_of(topic), payload)
        except errors as error:
            raise self._line.failed(topic, error) from None


class AmqpConsumer:
    """One queue; with confirms messages are acknowledged when they are iterated."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._durable = with_confirms(endpoint)
        self._queue = f"{endpoint.prefix}.{secrets.token_hex(8)}"
        capacity = endpoint.get(inbox.BUFFER)
        self._prefetch = min(PREFETCH, max(1, capacity // 2))
        self.inbox = inbox.Inbox(capacity)
        self.line = ConsumerConnection(endpoint, self.inbox, calls(self._prepare), self._send, topic_names(endpoint))
        self._topics = self.line.topics
        self._received = 0
        self._acknowledged = 0
        self._unbound: list[str] = []
        self._binding = asyncio.Lock()

    @property
    def link(self) -> Link:
        """Whether the connection is up."""
        return self.line.link

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return once the broker confirmed or refused each, which may be after a reconnect."""
        return await self.line.subscribe(topics, since_ns)

    async def _prepare(self, link: AmqpConnection) -> None:
        """Declare exchange and queue, and consume; a durable queue brings what came meanwhile."""
        await declare_exchange(self._endpoint, link)
        channel, durable = link.channel, self._durable
        arguments = {"x-expires": QUEUE_EXPIRES_MS} if durable else None
        await channel.queue_declare(self._queue, durable=durable, exclusive=not durable, arguments=arguments)
        self._received = self._acknowledged = 0
        self._unbound, self._binding = [], asyncio.Lock()  # what was not bound to the lost link is subscribed again
        if durable:
            await channel.basic_qos(prefetch_count=self._prefetch)
        await channel.basic_consume(self._queue, self._take, no_ack=not durable, consumer_tag=self._queue)

    async def _send(self, link: AmqpConnection, names: Sequence[str]) -> Mapping[str, Refusal]:
        """Only the last waits for its answer: the broker does them in order, and closes the channel on an error.

        Calls that overlap are bound together by the first of them that gets its turn.
        """
        self._unbound.extend(names)
        async with self._binding:
            bundle, self._unbound = self._unbound, []
            try:
                for i, name in enumerate(bundle, start=1):
                    await link.channel.queue_bind(
                        self._queue, exchange_of(self._endpoint), name, nowait=i < len(bundle)
                    )
            except BaseException:
                self._unbound = bundle + self._unbound  # for those that wait, who will bind it again or fail as well
                raise
        return {}

    async def _take(self, message: DeliveredMessage) -> None:
        self._received += 1
        topic = self._topics.get(message.routing_key or "")
        if topic is not None:
            self.inbox.put(topic, message.body)
        elif self._durable:
            await self._acknowledge()

    async def unsubscribe(self, *topics: str) -> None:
        """Stop at once here, and tell the broker; without a connection the next one does not subscribe."""
        names = self.line.forget(topics)
        link = self.line.connection
        if link is not None:
            with contextlib.suppress(*errors):
                for name in names:
                    await link.channel.queue_unbind(self._queue, exchange_of(self._endpoint), name)
        if self._durable:
            await self._acknowledge()

    async def _acknowledge(self) -> None:
        """Acknowledge all that was received, at once where a reader keeps up and in bundles where it does not.

        While the inbox holds more than the prefetch nothing is acknowledged, so that it never overflows: the rest
        waits in the broker's queue, which is this consumer's own.
        """
        behind, open_tags = len(self.inbox), self._received - self._acknowledged
        link = self.line.connection
        if link is None or open_tags == 0 or behind > self._prefetch or (behind and open_tags < _ACK_EVERY):
            return
        self._acknowledged = self._received
        with contextlib.suppress(*errors):
            await link.channel.basic_ack(self._received, multiple=True, wait=False)

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self if self._durable else self.inbox

    async def __anext__(self) -> Message | Gap:
        item = await self.inbox.__anext__()
        await self._acknowledge()
        return item

    async def forget_queue(self) -> None:
        """Delete a durable queue: it would stay for a minute."""
        link = self.line.connection
        if self._durable and link is not None:
            with contextlib.suppress(TimeoutError, *errors):
                await link.channel.basic_cancel(self._queue, timeout=self._endpoint.timeout_s)
                await link.channel.queue_delete(self._queue, timeout=self._endpoint.timeout_s)


class AmqpAdapter:
    """`amqp://[user:password@]host[:port][/vhost]`, `amqps://` with TLS."""

    name = "amqp"
    schemes = ("amqp", "amqps")
    deliveries: tuple[Delivery, ...] = ("at-most-once", "at-least-once")
    delivery_options: Mapping[str, Mapping[str, Delivery]] = {
        "confirms": {"false": "at-most-once", "true": "at-least-once"}
    }
    replay = False
    max_topic_bytes = MAX_TOPIC_BYTES
    default_ports: Mapping[str, int] = {"amqp": PORT, "amqps": TLS_PORT}
    options = (CONFIRMS, EXCHANGE, inbox.BUFFER, *tls.OPTIONS)

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[AmqpProducer]:
        """Connect, and stay connected."""
        prepared = calls(partial(declare_exchange, endpoint), with_confirms(endpoint))
        line = ProducerConnection(endpoint, prepared, topic_names(endpoint))
        async with keep_up(endpoint, line):
            yield AmqpProducer(line)

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[AmqpConsumer]:
        """Connect, and stay connected."""
        consumer = AmqpConsumer(endpoint)
        with contextlib.closing(consumer.inbox):
            async with keep_up(endpoint, consumer.line):
                try:
                    yield consumer
                finally:
                    await finish(consumer.forget_queue())


adapter = AmqpAdapter()
