"""The producer of both RabbitMQ adapters: it publishes to an exchange, with the topic as routing key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from aiormq import spec
from aiormq.exceptions import DeliveryError

from brokers.amqp_errors import BlockedError, UnroutableError, errors, forbidden_topic, worded, words_of
from brokers.amqp_link import AmqpConnection, calls
from brokers.connection import ProducerConnection
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, Refusal, TopicRefusedError
from brokers.reconnect import keep_up
from brokers.topic_names import TopicNames

_DRAIN_EVERY = 64
_REMEMBER_S = 30.0
"""How long fanbench refuses a forbidden topic itself: each one makes RabbitMQ end the channel and all calls on it."""
_REMEMBERED = 1_024


class AmqpPublisher:
    """Publishes through a link's channel.

    aiormq makes a random id for a message without one, and waits until each message is written. Here all messages share
    one id, which nothing reads, and only every 64th waits. That is enough backpressure from a slow broker.
    """

    __slots__ = ("_count", "_mandatory", "_properties", "_waits")

    def __init__(self, persistent: bool, headers: Mapping[str, str] | None = None, *, mandatory: bool = False) -> None:
        """Persistent publishes wait for the end of an alarm; others are refused during it.

        With confirms a mandatory message that no queue takes is an error; otherwise the broker confirms and drops it.
        """
        self._mandatory = mandatory
        self._properties = spec.Basic.Properties(
            delivery_mode=2 if persistent else 1, message_id="fanbench", headers=dict(headers) if headers else None
        )
        self._count = 0
        self._waits = persistent

    async def publish(self, link: AmqpConnection, exchange: str, routing_key: str, payload: bytes) -> None:
        """Return once the message is written or, on a channel with confirms, once the broker has confirmed it.

        Raises:
            BlockedError: the message was dropped, because the broker accepts none for now.
            UnroutableError: it or an earlier message was dropped, because no queue is bound to receive it.
        """
        if link.blocked or link.waiting:
            if not self._waits:
                link.dropped += 1
                raise BlockedError(link.blocked)
            await link.may_publish()
        self._count += 1
        now_s = asyncio.get_running_loop().time
        link.confirms.began(now_s())
        try:
            await link.channel.basic_publish(
                payload,
                exchange=exchange,
                routing_key=routing_key,
                properties=self._properties,
                mandatory=self._mandatory,
                wait=self._count % _DRAIN_EVERY == 0,
            )
            link.confirms.confirmed()
        except DeliveryError:
            link.confirms.refused()
            raise
        finally:
            link.confirms.ended(now_s())
        if link.unroutable:  # the broker returns a message before it confirms it
            raise UnroutableError(exchange)


class AmqpProducer:
    """Publishes to one exchange."""

    def __init__(
        self,
        endpoint: Endpoint,
        exchange: str,
        prepare: Callable[[AmqpConnection], Awaitable[None]],
        confirms: bool,
        names: TopicNames,
        mandatory: bool,
    ) -> None:
        self.line = ProducerConnection(endpoint, calls(prepare, confirms, self._note), names)
        self.link = self.line.link
        self._name_of = self.line.name_of
        self._exchange = exchange
        self._publisher = AmqpPublisher(persistent=confirms, mandatory=mandatory)
        self._forbidden: dict[str, tuple[float, str]] = {}
        """For each name, when the refusal expires, and the broker's message."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once aiormq has accepted the message; with confirms, once every bound queue has it on disk."""
        name = self._name_of(topic)
        if self._forbidden:
            self._refuse_forbidden(topic, name)
        link = self.line.connection
        if link is None:
            raise self.line.failed(topic)
        try:
            await self._publisher.publish(link, self._exchange, name, payload)
        except errors as error:
            raise self._failed(topic, name, error) from None

    def _note(self, error: Exception) -> None:
        """An earlier publish that returned may have closed the channel."""
        forbidden = forbidden_topic(error)
        if forbidden is not None:
            if len(self._forbidden) >= _REMEMBERED:
                self._forbidden.clear()
            self._forbidden[forbidden] = (asyncio.get_running_loop().time() + _REMEMBER_S, words_of(error))

    def _refuse_forbidden(self, topic: str, name: str) -> None:
        until_s, words = self._forbidden.get(name, (0.0, ""))
        if until_s > asyncio.get_running_loop().time():
            raise TopicRefusedError(self.line.endpoint, "publish on", topic, Refusal("forbidden", words))
        self._forbidden.pop(name, None)

    def _failed(self, topic: str, name: str, error: Exception) -> BrokerError:
        """Of everything in flight on a channel, refuse only the topic that the broker named."""
        self._note(error)
        if forbidden_topic(error) not in (None, name):
            return self.line.failed(topic, ConnectionError("connection lost: another topic was refused on it"))
        return self.line.failed(topic, worded(error))


@asynccontextmanager
async def producing(
    endpoint: Endpoint,
    exchange: str,
    prepare: Callable[[AmqpConnection], Awaitable[None]],
    confirms: bool,
    names: TopicNames,
    *,
    mandatory: bool = False,
) -> AsyncIterator[AmqpProducer]:
    """Connect, and stay connected; `mandatory` if each message must reach a queue."""
    producer = AmqpProducer(endpoint, exchange, prepare, confirms, names, mandatory)
    async with keep_up(endpoint, producer.line):
        yield producer
