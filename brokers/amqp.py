"""RabbitMQ by AMQP 0-9-1, through aio-pika: an exchange, and one queue for each consumer, bound to its topics.

At most once: an exclusive queue that ends with its connection. At least once: publisher confirms, and a durable queue
that outlives a lost connection or a restart of the broker for a minute.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from brokers import inbox, tls
from brokers.amqp_consumer import AmqpConsumer
from brokers.amqp_link import HEARTBEAT, MAX_TOPIC_BYTES, PORT, TLS_PORT, AmqpConnection
from brokers.amqp_once import at_any_host
from brokers.amqp_producer import AmqpProducer, producing
from brokers.amqp_queue import EXCHANGE, EXCHANGE_TYPE, PASSIVE, QUEUE_TYPE, declare_exchange, exchange_of, queue_names
from brokers.amqp_sentry import watched_over
from brokers.api import Delivery
from brokers.endpoint import Endpoint
from brokers.options import choice
from brokers.reconnect import finish, keep_up
from brokers.topic_names import TopicNames

CONFIRMS = choice("confirms", "alternative to naming the delivery", ("true", "false"), "", "false")


def with_confirms(endpoint: Endpoint) -> bool:
    """Whether the promise is at-least-once."""
    return endpoint.delivery == "at-least-once"


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
    options = (CONFIRMS, EXCHANGE, EXCHANGE_TYPE, PASSIVE, QUEUE_TYPE, HEARTBEAT, inbox.BUFFER, *tls.OPTIONS)

    def producer(self, endpoint: Endpoint) -> AbstractAsyncContextManager[AmqpProducer]:
        """Connect, and stay connected."""
        prepare, confirms = partial(declare_exchange, endpoint), with_confirms(endpoint)
        return producing(endpoint, exchange_of(endpoint), prepare, confirms, TopicNames(endpoint, MAX_TOPIC_BYTES))

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[AmqpConsumer]:
        """Connect, and stay connected."""
        consumer = AmqpConsumer(endpoint, with_confirms(endpoint))
        with contextlib.closing(consumer.inbox):
            async with keep_up(endpoint, consumer.line), watched_over(endpoint, consumer.link, consumer.canary):
                try:
                    yield consumer
                finally:
                    await finish(consumer.forget_queue())

    async def clean_up(self, endpoint: Endpoint) -> None:
        """Delete everything with the run's name, except exclusive queues: those ended with their connections."""
        await at_any_host(endpoint, "clean up", partial(_delete, endpoint))


async def _delete(endpoint: Endpoint, link: AmqpConnection) -> None:
    if with_confirms(endpoint):
        for name in queue_names(endpoint):
            await link.channel.queue_delete(name, nowait=True)
    if not endpoint.get(EXCHANGE):
        await link.channel.exchange_delete(endpoint.prefix, nowait=True)
    await link.channel.basic_qos(timeout=endpoint.timeout_s)  # the answer arrives when everything is done


adapter = AmqpAdapter()
