"""RabbitMQ streams by AMQP 0-9-1, through aio-pika. At least once, with replay.

A fanout exchange feeds one queue of type stream, which each consumer reads by offset.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

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
    kind_of,
    topic_names,
)
from brokers.api import Delivery, Gap, Message
from brokers.connection import ProducerConnection
from brokers.endpoint import Endpoint
from brokers.errors import Refusal
from brokers.link import Link
from brokers.log_reader import Entry, LogReader
from brokers.options import text, whole_number
from brokers.reconnect import finish, keep_up

STREAM = text("stream", "exchange and queue that all topics share", default_words="fanbench.stream, or the run's")
BYTES = whole_number("bytes", "size that the stream keeps, about", 1_000_000_000, 1)
_PREFETCH = 1_000
_ACK_EVERY = 64
_MARKER = "fanbench.marker."
_OFFSET = "x-stream-offset"


def stream_of(endpoint: Endpoint) -> str:
    """The name of the exchange and of the queue."""
    return endpoint.get(STREAM) or f"{endpoint.prefix}.stream"


async def declare(endpoint: Endpoint, link: AmqpConnection) -> None:
    """Both sides do, so that either may come first."""
    name = stream_of(endpoint)
    await link.channel.exchange_declare(name, exchange_type="fanout", durable=True)
    arguments = {"x-queue-type": "stream", "x-max-length-bytes": endpoint.get(BYTES)}
    await link.channel.queue_declare(name, durable=True, arguments=arguments)
    await link.channel.queue_bind(name, name)


class AmqpStreamProducer:
    """Publishes to the exchange, the topic as routing key; with publisher confirms."""

    def __init__(self, line: ProducerConnection[AmqpConnection]) -> None:
        self._line = line
        self._name_of = line.name_of
        self.link = line.link
        self._stream = stream_of(line.endpoint)
        self._publisher = AmqpPublisher(persistent=True)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the message is in the stream."""
        link = self._line.connection
        if link is None:
            raise self._line.failed(topic)
        try:
            await self._publisher.publish(link, self._stream, self._name_of(topic), payload)
        except errors as error:
            raise self._line.failed(topic, error) from None


class _Reader:
    """A consumer of the stream on a channel: messages by offset, in order, at most `_PREFETCH` on the way."""

    def __init__(self, channel: Any, stream: str) -> None:
        self._channel = channel
        self._stream = stream
        self._tag = f"fanbench.{secrets.token_hex(8)}"
        self._arrived: deque[DeliveredMessage] = deque()
        self._wake = asyncio.Event()
        self._read = 0

    async def start(self, offset: int | str | datetime.datetime) -> None:
        """Return once the broker confirmed; what it writes from then on comes."""
        await self._channel.basic_qos(prefetch_count=_PREFETCH)
        await self._channel.basic_consume(self._stream, self._take, consumer_tag=self._tag, arguments={_OFFSET: offset})

    async def _take(self, message: DeliveredMessage) -> None:
        self._arrived.append(message)
        self._wake.set()

    async def next(self) -> tuple[int, str, bytes]:
        """Offset, routing key and payload of the next message; the one before is done with."""
        while not self._arrived:
            self._wake.clear()
            await self._wake.wait()
        message = self._arrived.popleft()
        self._read += 1
        if self._read % _ACK_EVERY == 0:
            await self._channel.basic_ack(message.delivery_tag, multiple=True, wait=False)
        headers: dict[str, Any] = message.header.properties.headers or {}
        return headers[_OFFSET], message.routing_key or "", message.body

    async def until_marker(self, name: str) -> int:
        """Read to the message of that routing key; returns its offset."""
        while True:
            offset, routing_key, _ = await self.next()
            if routing_key == name:
                return offset


class AmqpStreamConsumer:
    """A `ReconnectLoop` for `keep_up`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._stream = stream_of(endpoint)
        self.inbox = inbox.Inbox(endpoint.get(inbox.BUFFER))
        self.feed = LogReader(endpoint, self.inbox, -1, self._history, topic_names(endpoint))
        self.link = Link(endpoint)
        self.kind_of = kind_of
        self._calls = calls(self._prepare)
        self._reader: _Reader | None = None
        self._link: AmqpConnection | None = None

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return at once, or once the history begins to come."""
        return await self.feed.subscribe(topics, since_ns)

    async def unsubscribe(self, *topics: str) -> None:
        """Take effect at once."""
        self.feed.unsubscribe(topics)

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox

    async def dial(self) -> AmqpConnection:
        """Connect, and read from the stream's end at first, later from where the reading stopped."""
        self._link = await self._calls.dial(self.link.target)
        self.feed.resumed()
        return self._link

    async def _prepare(self, link: AmqpConnection) -> None:
        await declare(self._endpoint, link)
        self._reader = _Reader(link.channel, self._stream)
        if self.feed.position >= 0:
            await self._reader.start(self.feed.position + 1)
            return
        # The broker does not say where its stream ends: a marker of our own does.
        await self._reader.start("next")
        self.feed.position = await self._reader.until_marker(await self._mark(link))

    async def _mark(self, link: AmqpConnection) -> str:
        marker = _MARKER + secrets.token_hex(8)
        await AmqpPublisher(persistent=True).publish(link, self._stream, marker, b"")
        return marker

    async def serve(self, link: AmqpConnection) -> None:
        """Read on until the connection is lost."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._calls.serve(link))
            tasks.create_task(self._read_on())

    async def _read_on(self) -> None:
        assert self._reader is not None
        while True:
            offset, topic, payload = await self._reader.next()
            missing = offset - self.feed.position - 1
            if missing > 0:
                self.feed.trimmed(missing)
            elif missing < 0:  # a broker that came back without its data numbers anew
                self.feed.trimmed(None)
            if not self.feed.take_now(offset, topic, payload):
                await self.feed.take(offset, topic, payload)

    async def _history(self, since_ns: int, upto: int) -> AsyncGenerator[Sequence[Entry], None]:
        """Ends at a marker of its own: where nothing is as young as `since_ns`, the broker sends only what comes next."""
        link = self._link
        if link is None:
            raise ConnectionError("connection lost")
        channel = link.connection.channel(publisher_confirms=False)
        try:
            await channel.initialize()
            reader = _Reader(await channel.get_underlay_channel(), self._stream)
            since = datetime.datetime.fromtimestamp(since_ns // 1_000_000_000, datetime.UTC)
            await reader.start(since)
            await self._mark(link)
            offset = -1
            while offset < upto:
                async with asyncio.timeout(self._endpoint.timeout_s):
                    offset, topic, payload = await reader.next()
                if offset <= upto:
                    yield [(topic, payload)]
        finally:
            with contextlib.suppress(*errors):
                await channel.close()

    def lost(self, cause: str) -> None:
        """Go on from the position when the connection is back."""
        self._link = None
        self.feed.lost(cause)

    async def hang_up(self, link: AmqpConnection) -> None:
        """Close."""
        await self._calls.hang_up(link)


class AmqpStreamAdapter:
    """`amqp+stream://[user:password@]host[:port][/vhost]`, `amqps+stream://` with TLS."""

    name = "rabbitmq-stream"
    schemes = ("amqp+stream", "amqps+stream")
    deliveries: tuple[Delivery, ...] = ("at-least-once",)
    replay = True
    max_topic_bytes = MAX_TOPIC_BYTES
    default_ports: Mapping[str, int] = {"amqp+stream": PORT, "amqps+stream": TLS_PORT}
    options = (STREAM, BYTES, inbox.BUFFER, *tls.OPTIONS)

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[AmqpStreamProducer]:
        """Connect, and stay connected."""
        line = ProducerConnection(endpoint, calls(partial(declare, endpoint), confirms=True), topic_names(endpoint))
        async with keep_up(endpoint, line):
            yield AmqpStreamProducer(line)

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[AmqpStreamConsumer]:
        """Connect, and stay connected."""
        consumer = AmqpStreamConsumer(endpoint)
        try:
            async with keep_up(endpoint, consumer):
                yield consumer
        finally:
            await finish(consumer.feed.close())


adapter = AmqpStreamAdapter()
