"""NATS JetStream, through nats-py. At least once, with replay: one stream, one ephemeral consumer for each replica."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from brokers import inbox, nats_link, tls
from brokers.api import Delivery, Gap, Message
from brokers.connection import ProducerConnection
from brokers.endpoint import Endpoint
from brokers.errors import Refusal
from brokers.link import Link
from brokers.log_reader import Entry, LogReader
from brokers.nats_link import NatsConnection, calls, topic_names
from brokers.options import text, whole_number
from brokers.reconnect import finish, keep_up, quietly, uncancelled

STREAM = text("stream", "name of the stream that all topics share", default_words="fanbench, or the run's name")
LENGTH = whole_number("length", "messages that the stream keeps", 100_000, 1)
_WINDOW = 1_000
_ACK_EVERY = 64
_NEVER_AGAIN_S = 22 * 3600.0
_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)


def stream_of(endpoint: Endpoint) -> str:
    """The stream's name, which is also the first word of its subjects."""
    return endpoint.get(STREAM) or endpoint.prefix


async def ensure_stream(endpoint: Endpoint, link: NatsConnection) -> int:
    """Create the stream if it is not there; returns the sequence number of its last message."""
    name = stream_of(endpoint)
    length = endpoint.get(LENGTH)
    return await nats_link.ensure_stream(link, name, [f"{name}.>"], length)


class JetStreamProducer:
    """Each message is acknowledged by the stream."""

    def __init__(self, line: ProducerConnection[NatsConnection]) -> None:
        self._line = line
        self._name_of = line.name_of
        self.link = line.link
        self._prefix = stream_of(line.endpoint)
        self._timeout_s = line.endpoint.timeout_s

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the message is in the stream."""
        link = self._line.connection
        if link is None:
            raise self._line.failed(topic)
        subject = f"{self._prefix}.{self._name_of(topic)}"
        try:
            await uncancelled(link.jetstream.publish(subject, payload, self._timeout_s))
        except nats_link.Error as error:
            raise self._line.failed(topic, error) from None


class JetStreamConsumer:
    """A `ReconnectLoop` for `keep_up`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._stream = stream_of(endpoint)
        self.inbox = inbox.Inbox(endpoint.get(inbox.BUFFER))
        self.feed = LogReader(endpoint, self.inbox, -1, self._history, topic_names(endpoint))
        self.link = Link(endpoint)
        self.kind_of = nats_link.kind_of
        self._link: NatsConnection | None = None

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return at once, or once the history begins to come."""
        return await self.feed.subscribe(topics, since_ns)

    async def unsubscribe(self, *topics: str) -> None:
        """Take effect at once."""
        self.feed.unsubscribe(topics)

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox

    async def dial(self) -> NatsConnection:
        """Connect, and read from the stream's end at first, later from where the reading stopped."""
        link = await nats_link.dial(self.link.target)
        try:
            last = await ensure_stream(self._endpoint, link)
            if self.feed.position < 0:
                self.feed.position = last
            elif last < self.feed.position:  # a server that came back without its data numbers anew
                self.feed.position = 0
                self.feed.resumed(None)
            else:
                self.feed.resumed()
            await self._read(link, self._taker(link), "by_start_sequence", opt_start_seq=self.feed.position + 1)
        except BaseException:
            await finish(quietly(nats_link.hang_up(link), self._endpoint.timeout_s))
            raise
        self._link = link
        return link

    async def _read(
        self, link: NatsConnection, take: Callable[[nats_link.Msg], None], policy: str, **start: Any
    ) -> Any:
        """Start a consumer that may have `_WINDOW` messages on the way that are not acknowledged."""
        return await nats_link.push_consumer(
            link, self._stream, take, policy, max_ack_pending=_WINDOW, ack_wait=_NEVER_AGAIN_S, **start
        )

    def _taker(self, link: NatsConnection) -> Callable[[nats_link.Msg], None]:
        """What is called for each message: hands it on at once, or keeps it for `_catch_up` while there is no room."""
        cut = len(self._stream) + 1
        feed, backlog, wake = self.feed, link.backlog, link.wake

        def take(message: nats_link.Msg) -> None:
            number, _ = nats_link.place(message)
            name = message.subject[cut:]
            if not backlog and number == feed.position + 1 and feed.take_now(number, name, message.data):
                if number % _ACK_EVERY:
                    return
            else:
                backlog.append((number, name, message.data))
            link.to_acknowledge = message.reply
            wake.set()

        return take

    async def _catch_up(self, link: NatsConnection) -> None:
        """Hand on what there was no room for, in order, and acknowledge, which lets the broker send more."""
        while True:
            await link.wake.wait()
            link.wake.clear()
            while link.backlog:
                number, name, payload = link.backlog.popleft()
                missing = number - self.feed.position - 1
                if missing > 0:
                    self.feed.trimmed(missing)
                await self.feed.take(number, name, payload)
            await link.client.publish(link.to_acknowledge, b"+ACK")  # of this message and all before it

    async def _history(self, since_ns: int, upto: int) -> AsyncGenerator[Sequence[Entry], None]:
        link = self._link
        if link is None:
            raise ConnectionError("connection lost")
        arrived: asyncio.Queue[nats_link.Msg] = asyncio.Queue()  # the window bounds it
        since = _EPOCH + datetime.timedelta(microseconds=since_ns // 1000)
        subscription, pending = await self._read(link, arrived.put_nowait, "by_start_time", opt_start_time=since)
        cut, number = len(self._stream) + 1, -1
        try:
            while pending and number < upto:
                async with asyncio.timeout(self._endpoint.timeout_s):
                    message = await arrived.get()
                number, pending = nats_link.place(message)
                if number <= upto:
                    yield [(message.subject[cut:], message.data)]
                if number % _ACK_EVERY == 0:
                    await link.client.publish(message.reply, b"+ACK")
        finally:
            await nats_link.end_subscription(subscription)

    async def serve(self, link: NatsConnection) -> None:
        """Read until the end of the connection."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(nats_link.until_lost(link))
            tasks.create_task(self._catch_up(link))

    def lost(self, cause: str) -> None:
        """Go on from the position when the connection is back."""
        self._link = None
        self.feed.lost(cause)

    async def hang_up(self, link: NatsConnection) -> None:
        """Close."""
        await nats_link.hang_up(link)


class JetStreamAdapter:
    """`nats+js://[user:password@]host[:port]`, `nats+js+tls://` with TLS."""

    name = "nats-jetstream"
    schemes = ("nats+js", "nats+js+tls")
    deliveries: tuple[Delivery, ...] = ("at-least-once",)
    replay = True
    max_topic_bytes = nats_link.MAX_TOPIC_BYTES
    default_ports = dict.fromkeys(schemes, nats_link.PORT)
    options = (STREAM, LENGTH, inbox.BUFFER, *tls.OPTIONS)

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[JetStreamProducer]:
        """Connect, and stay connected."""

        async def prepare(link: NatsConnection) -> None:
            await ensure_stream(endpoint, link)

        line = ProducerConnection(endpoint, calls(prepare), topic_names(endpoint))
        async with keep_up(endpoint, line):
            yield JetStreamProducer(line)

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[JetStreamConsumer]:
        """Connect, and stay connected."""
        consumer = JetStreamConsumer(endpoint)
        try:
            async with keep_up(endpoint, consumer):
                yield consumer
        finally:
            await finish(consumer.feed.close())


adapter = JetStreamAdapter()
