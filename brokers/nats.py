"""NATS core publish/subscribe, through nats-py. At most once: the broker keeps nothing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from brokers import inbox, nats_link, tls
from brokers.api import Delivery, Gap, Message
from brokers.connection import ConsumerConnection, ProducerConnection
from brokers.endpoint import Endpoint
from brokers.nats_link import NatsConnection, calls, subject_of
from brokers.reconnect import keep_up, uncancelled

_CALM_BYTES = 1_000_000
"""Half of what nats-py lets pile up before a publish waits."""


class NatsProducer:
    """nats-py collects what is published and writes it in one go."""

    def __init__(self, line: ProducerConnection[NatsConnection]) -> None:
        self._line = line

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once nats-py has taken the message; the broker confirms nothing, and refuses the one before it."""
        link = self._line.connection
        if link is None:
            raise self._line.failed(topic)
        if link.refused:
            raise self._line.failed(topic, link.refused.popitem()[1])
        subject = subject_of(topic)
        client = link.client
        try:
            if client.pending_data_size < _CALM_BYTES:
                await client.publish(subject, payload)
            else:  # it waits for the socket, and there it swallows a cancellation
                await uncancelled(client.publish(subject, payload))
        except nats_link.Error as error:
            raise self._line.failed(topic, error) from None


class NatsConsumer:
    """One NATS subscription for each topic."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.inbox = inbox.Inbox(endpoint.whole_number("buffer", inbox.DEFAULT_CAPACITY))
        self.line = ConsumerConnection(endpoint, self.inbox, calls(endpoint), self._send, subject_of)

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> None:
        """Return once the broker confirmed, which may be after a reconnect."""
        await self.line.subscribe(topics, since_ns)

    async def _send(self, link: NatsConnection, subjects: Sequence[str]) -> None:
        """A ping's answer confirms all subscriptions that were sent before it."""
        for subject in subjects:
            if subject not in link.subscriptions:
                link.subscriptions[subject] = None  # so that an overlapping call does not subscribe twice
                link.subscriptions[subject] = await self._subscribe(link, subject)
        await nats_link.confirm(link)
        for subject in subjects:
            if subject in link.refused:
                link.subscriptions.pop(subject, None)
                raise link.refused.pop(subject)

    async def _subscribe(self, link: NatsConnection, subject: str) -> nats_link.Subscription:
        topic, put = self.line.topics[subject], self.inbox.put

        def take(message: nats_link.Msg) -> None:
            put(topic, message.data)

        return await nats_link.subscribe(link, subject, take)

    async def unsubscribe(self, *topics: str) -> None:
        """Stop at once here, and tell the broker."""
        subjects = self.line.forget(topics)
        link = self.line.connection
        if link is not None:
            for subject in subjects:
                subscription = link.subscriptions.pop(subject, None)
                if subscription is not None:
                    with contextlib.suppress(nats_link.Error):  # closed: nothing is left to unsubscribe from
                        await subscription.unsubscribe()

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox


class NatsAdapter:
    """`nats://[user:password@]host[:port]`, `nats+tls://` with TLS."""

    name = "nats"
    schemes = ("nats", "nats+tls")
    deliveries: tuple[Delivery, ...] = ("at-most-once",)
    replay = False
    default_port = nats_link.DEFAULT_PORT
    options = inbox.OPTION | tls.OPTION

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[NatsProducer]:
        """Connect, and stay connected."""
        line = ProducerConnection(endpoint, calls(endpoint))
        async with keep_up(endpoint, line):
            yield NatsProducer(line)

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[NatsConsumer]:
        """Connect, and stay connected."""
        consumer = NatsConsumer(endpoint)
        with contextlib.closing(consumer.inbox):
            async with keep_up(endpoint, consumer.line):
                yield consumer


adapter = NatsAdapter()
