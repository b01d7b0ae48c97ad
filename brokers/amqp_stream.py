"""RabbitMQ streams by AMQP 0-9-1, through aio-pika. At least once, with replay.

A fanout exchange feeds one queue of type stream, which each consumer reads by offset.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from brokers import inbox, tls
from brokers.amqp_errors import errors, kind_of, undecodable
from brokers.amqp_link import HEARTBEAT, MAX_TOPIC_BYTES, PORT, TLS_PORT, AmqpConnection, calls
from brokers.amqp_once import at_any_host
from brokers.amqp_producer import AmqpProducer, producing
from brokers.amqp_queue import PASSIVE
from brokers.amqp_sentry import NO_CANARY, watched_over
from brokers.amqp_stream_reader import QUIET_S, AmqpStreamReader, end_of, mark
from brokers.api import Delivery, Gap, Message
from brokers.endpoint import Endpoint
from brokers.errors import Refusal
from brokers.link import Link
from brokers.log_reader import Entry, LogReader
from brokers.options import text, whole_number
from brokers.recent_entries import RECENT
from brokers.reconnect import finish, keep_up, reason
from brokers.topic_names import TopicNames

STREAM = text("stream", "exchange and queue that all topics share", default_words="fanbench.stream, or the run's")
BYTES = whole_number("bytes", "approximate size of the stream", 1_000_000_000, 1)
MAX_AGE = text("max_age", "maximum age in the stream, in RabbitMQ's notation: 7D, 12h, 30m", default_words="any")


def stream_of(endpoint: Endpoint) -> str:
    """The name of the exchange and of the queue."""
    return endpoint.get(STREAM) or f"{endpoint.prefix}.stream"


async def declare(endpoint: Endpoint, link: AmqpConnection) -> None:
    """Both sides declare it, so either may connect first."""
    name, passive = stream_of(endpoint), endpoint.get(PASSIVE)
    await link.channel.exchange_declare(name, exchange_type="fanout", durable=True, passive=passive)
    arguments: dict[str, str | int] = {"x-queue-type": "stream", "x-max-length-bytes": endpoint.get(BYTES)}
    if endpoint.get(MAX_AGE):
        arguments["x-max-age"] = endpoint.get(MAX_AGE)
    await link.channel.queue_declare(name, durable=True, arguments=arguments, passive=passive)
    if not passive:
        await link.channel.queue_bind(name, name)


class AmqpStreamConsumer:
    """A `ReconnectLoop` for `keep_up`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._stream = stream_of(endpoint)
        self.inbox = inbox.Inbox(endpoint.get(inbox.BUFFER))
        self.feed = LogReader(endpoint, self.inbox, -1, self._history, TopicNames(endpoint, MAX_TOPIC_BYTES))
        self.link = Link(endpoint)
        self.kind_of = kind_of
        self._calls = calls(self._prepare, lost=self._ended)
        self._reader: AmqpStreamReader | None = None
        self._began = False
        """Whether `feed.position` is where reading began, even if nothing has been read yet."""
        self._odd_after: int | None = None
        """The position of a message that aiormq could not decode."""
        self._link: AmqpConnection | None = None

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return at once or, with history, once its first entries arrive."""
        return await self.feed.subscribe(topics, since_ns)

    async def unsubscribe(self, *topics: str) -> None:
        """Take effect at once."""
        self.feed.unsubscribe(topics)

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox

    async def dial(self) -> AmqpConnection:
        """Connect, and read: at first from the stream's end, later from the last position."""
        self._link = await self._calls.dial(self.link.target)
        self.feed.resumed()
        return self._link

    async def _prepare(self, link: AmqpConnection) -> None:
        await declare(self._endpoint, link)
        end = await end_of(self.link.target, link, self._stream)
        if not self._began:
            self._began, self.feed.position = True, end
        elif end < self.feed.position:  # deleted and recreated, or back without its last entries
            self.feed.trimmed(None)
            self.feed.position = end
        self._reader = AmqpStreamReader(link.channel, self._stream)
        await self._reader.start(self.feed.position + 1)

    def _ended(self, error: Exception) -> None:
        """A message that aiormq cannot decode ends every connection that reads it: skip it the second time."""
        if not undecodable(error):
            return
        if self._odd_after == self.feed.position:
            self.feed.position += 1
            self.link.pass_by("an entry that cannot be decoded")
            self.inbox.gap(Gap(f"an entry that cannot be decoded: {reason(error)}", None))
        self._odd_after = self.feed.position

    async def serve(self, link: AmqpConnection) -> None:
        """Continue reading until the connection is lost."""
        assert self._reader is not None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._calls.serve(link))
            tasks.create_task(self._read_on())
            tasks.create_task(self._reader.acknowledge_by_time())

    async def _read_on(self) -> None:
        assert self._reader is not None
        while True:
            offset, topic, payload = await self._reader.next()
            missing = offset - self.feed.position - 1
            if missing > 0:
                self.feed.trimmed(missing)
            elif missing < 0:  # a broker that restarts without its data restarts its numbering
                self.feed.trimmed(None)
            if not self.feed.take_now(offset, topic, payload):
                await self.feed.take(offset, topic, payload)

    async def _history(self, since_ns: int, upto: int) -> AsyncGenerator[Sequence[Entry], None]:
        """Read up to our own marker: if no entry is as new as `since_ns`, the broker sends only future ones."""
        link = self._link
        if link is None:
            raise ConnectionError("connection lost")
        channel = await link.another_channel()
        try:
            reader = AmqpStreamReader(channel, self._stream)
            since = datetime.datetime.fromtimestamp(since_ns // 1_000_000_000, datetime.UTC)
            await reader.start(since)
            marked = await mark(self.link.target, self._stream) is not None
            offset = -1
            while offset < upto:
                try:
                    async with asyncio.timeout(self._endpoint.timeout_s if marked else QUIET_S):
                        offset, topic, payload = await reader.next()
                except TimeoutError:
                    if marked:
                        raise
                    return
                if offset <= upto:
                    yield [(topic, payload)]
        finally:
            with contextlib.suppress(*errors):
                await channel.close()

    def lost(self, cause: str) -> None:
        """Continue from the position when the connection is back."""
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
    options = (STREAM, BYTES, MAX_AGE, PASSIVE, HEARTBEAT, RECENT, inbox.BUFFER, *tls.OPTIONS)

    def producer(self, endpoint: Endpoint) -> AbstractAsyncContextManager[AmqpProducer]:
        """Connect, and stay connected."""
        names = TopicNames(endpoint, MAX_TOPIC_BYTES)
        return producing(endpoint, stream_of(endpoint), partial(declare, endpoint), True, names, mandatory=True)

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[AmqpStreamConsumer]:
        """Connect, and stay connected."""
        consumer = AmqpStreamConsumer(endpoint)
        try:
            async with keep_up(endpoint, consumer), watched_over(endpoint, consumer.link, lambda: NO_CANARY):
                yield consumer
        finally:
            await finish(consumer.feed.close())

    async def clean_up(self, endpoint: Endpoint) -> None:
        """Delete the run's stream, and the exchange that feeds it."""
        await at_any_host(endpoint, "clean up", partial(_delete, endpoint))


async def _delete(endpoint: Endpoint, link: AmqpConnection) -> None:
    if not endpoint.get(STREAM):
        await link.channel.queue_delete(stream_of(endpoint), timeout=endpoint.timeout_s)
        await link.channel.exchange_delete(stream_of(endpoint), timeout=endpoint.timeout_s)


adapter = AmqpStreamAdapter()
