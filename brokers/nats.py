"""NATS core publish/subscribe, through nats-py. At most once: the broker keeps nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from brokers import inbox, nats_options, tls
from brokers.api import Delivery, Done, Gap, Message
from brokers.connection import ProducerConnection
from brokers.consumer_connection import ConsumerConnection
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, Refusal
from brokers.link import Link
from brokers.nats_dialler import calls
from brokers.nats_errors import ERRORS
from brokers.nats_link import NatsConnection
from brokers.nats_requests import post, pub, publish, takes_at_once
from brokers.nats_subjects import MAX_TOPIC_BYTES, topic_names
from brokers.nats_subscriptions import Subscription, confirm, end_subscription, subscribe
from brokers.reconnect import keep_up
from brokers.waiting import reason


class NatsProducer:
    """Publishes; nats-py collects publishes and writes them together."""

    def __init__(self, line: ProducerConnection[NatsConnection]) -> None:
        self._line = line
        self._name_of = line.name_of
        self._begun: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()
        """A task for each message that nats-py does not accept at once."""
        self.link = line.link

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once nats-py has accepted the message; the broker does not confirm it, and may refuse it later."""
        self.flush()
        link, subject = self._ready(topic)
        try:
            await publish(link.client, subject, payload)
        except ERRORS as error:
            raise self._line.failed(topic, error) from None

    def begin(self, topic: str, payload: bytes, done: Done) -> None:
        """Publish without a task, unless nats-py has to wait."""
        try:
            link, subject = self._ready(topic)
        except BrokerError as error:
            done(error)
            return
        if self._tasks or not takes_at_once(link.client, payload):
            task = asyncio.create_task(self._publish(topic, payload, done))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        self._begun.append(pub(subject, payload))
        done(None)

    async def _publish(self, topic: str, payload: bytes, done: Done) -> None:
        try:
            await self.publish(topic, payload)
        except BrokerError as error:
            done(error)
        else:
            done(None)

    def flush(self) -> None:
        """Write the begun publishes, or pass them to nats-py."""
        begun, self._begun = self._begun, []
        if begun and (link := self._line.connection) is not None:
            post(link.client, begun)

    def _ready(self, topic: str) -> tuple[NatsConnection, str]:
        link = self._line.connection
        if link is None:
            raise self._line.failed(topic)
        subject = self._name_of(topic)
        if link.refused and (error := link.refused.pop(subject, None)) is not None:
            raise self._line.failed(topic, error)
        return link, subject


class NatsConsumer:
    """One NATS subscription for each topic."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.inbox = inbox.Inbox(endpoint.get(inbox.BUFFER), tells_end=True)
        self.line = ConsumerConnection(endpoint, self.inbox, calls(), self._send, topic_names(endpoint))

    @property
    def link(self) -> Link:
        """Whether the connection is up."""
        return self.line.link

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return once the broker confirmed or refused each, which may be after a reconnect."""
        return await self.line.subscribe(topics, since_ns)

    async def _send(self, link: NatsConnection, subjects: Sequence[str]) -> Mapping[str, Refusal]:
        """A ping's answer confirms all subscriptions that were sent before it."""
        for subject in subjects:
            if subject not in link.subscriptions:
                link.refused.pop(subject, None)  # what the broker reported earlier
                link.subscriptions[subject] = None  # an overlapping call must not subscribe twice
                link.subscriptions[subject] = await self._subscribe(link, subject)
        await confirm(link)
        refused = [subject for subject in subjects if subject in link.refused]
        for subject in refused:
            link.subscriptions.pop(subject, None)
        return {subject: Refusal("forbidden", reason(link.refused[subject])) for subject in refused}

    async def _subscribe(self, link: NatsConnection, subject: str) -> Subscription:
        link.parser.end_read = self.inbox.end_read
        put, topic = self.inbox.put, self.line.topics[subject]

        def take(_subject: bytes, _reply: bytes, payload: bytes) -> None:
            put(topic, payload)

        return await subscribe(link, subject, take)

    async def unsubscribe(self, *topics: str) -> None:
        """Stop locally at once, and inform the broker."""
        subjects = self.line.forget(topics)
        link = self.line.connection
        if link is not None:
            for subject in subjects:
                subscription = link.subscriptions.pop(subject, None)
                if subscription is not None:
                    await end_subscription(link, subscription)

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox


class NatsAdapter:
    """`nats://[user:password@]host[:port]`, `nats+tls://` with TLS, `nats+ws://` and `nats+wss://` by WebSocket."""

    name = "nats"
    schemes = tuple(f"nats{way}" for way in nats_options.SCHEMES)
    deliveries: tuple[Delivery, ...] = ("at-most-once",)
    replay = False
    max_topic_bytes = MAX_TOPIC_BYTES
    default_ports = nats_options.ports(*schemes)
    options = (*nats_options.OPTIONS, inbox.BUFFER, *tls.OPTIONS)

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[NatsProducer]:
        """Connect, and stay connected."""
        line = ProducerConnection(endpoint, calls(), topic_names(endpoint))
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
