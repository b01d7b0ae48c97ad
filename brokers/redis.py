"""Redis and Valkey publish/subscribe, through redis-py with hiredis. At most once: the broker keeps nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from brokers import inbox, tls
from brokers.api import Delivery, Done, Gap, Message
from brokers.connection import Calls
from brokers.consumer_connection import ConsumerConnection
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, Refusal
from brokers.link import Link
from brokers.reconnect import keep_up
from brokers.redis_link import (
    DATABASE,
    MAX_TOPIC_BYTES,
    RedisError,
    ResponseError,
    close,
    kind_of,
    open_connection,
    ports,
    watch_primary,
)
from brokers.redis_pipe import Pipe
from brokers.redis_primary import ROLE, SENTINEL_OPTIONS
from brokers.redis_subscriber import CLASSIC, Subscriber
from brokers.topic_names import TopicNames


class RedisProducer:
    """Sends PUBLISH through one pipelined connection."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._name_of = pipe.names.of
        self.link = pipe.link
        self.flush = pipe.flush

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the broker answered, and so has written the message to every subscriber's connection."""
        try:
            await self._pipe.submit("PUBLISH", self._name_of(topic), payload)
        except ResponseError as error:
            raise self._pipe.failed(topic, error) from None

    def begin(self, topic: str, payload: bytes, done: Done) -> None:
        """Publish without a task."""
        try:
            self._pipe.publish(topic, ("PUBLISH", self._name_of(topic), payload), done)
        except BrokerError as error:
            done(error)


class RedisConsumer:
    """One connection in subscriber mode."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.inbox = inbox.Inbox(endpoint.get(inbox.BUFFER), tells_end=True)
        calls = Calls(self._open, self._serve, _close, (OSError, RedisError), kind_of)
        self.line = ConsumerConnection(endpoint, self.inbox, calls, self._send, TopicNames(endpoint, MAX_TOPIC_BYTES))

    @property
    def link(self) -> Link:
        """Whether the connection is up."""
        return self.line.link

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return once the broker confirmed or refused each topic, which may be after a reconnect."""
        return await self.line.subscribe(topics, since_ns)

    async def unsubscribe(self, *topics: str) -> None:
        """Stop yielding at once; return once the broker confirmed or the connection is lost."""
        names = self.line.forget(topics)
        if names and self.line.connection is not None:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(self._endpoint.timeout_s):
                    await self.line.connection.unsubscribe(names)

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox

    async def _open(self, endpoint: Endpoint) -> Subscriber:
        return Subscriber(await open_connection(endpoint), self._endpoint, CLASSIC, self._take, self.inbox.end_read)

    def _take(self, name: str, payload: bytes) -> None:
        if name in self.line.topics:
            self.inbox.put(name, payload)

    async def _send(self, subscriber: Subscriber, names: Sequence[str]) -> Mapping[str, Refusal]:
        await subscriber.subscribe(names, new=subscriber is not self.line.connection)
        return {}

    async def _serve(self, subscriber: Subscriber) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(subscriber.serve())
            tasks.create_task(watch_primary(self.line.link.target, subscriber.connection, itself=True))


async def _close(subscriber: Subscriber) -> None:
    await close(subscriber.connection)


class RedisAdapter:
    """`redis://[user:password@]host[:port][/database]`, `rediss://` with TLS, through Sentinel or a Unix socket.

    Also for Valkey.
    """

    name = "redis"
    schemes = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+unix", "unix")
    deliveries: tuple[Delivery, ...] = ("at-most-once",)
    replay = False
    max_topic_bytes = MAX_TOPIC_BYTES
    default_ports = ports(*schemes)
    options = (inbox.BUFFER, DATABASE, ROLE, *SENTINEL_OPTIONS, *tls.OPTIONS)

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[RedisProducer]:
        """Connect, and stay connected."""
        pipe = Pipe(endpoint)
        async with keep_up(endpoint, pipe):
            yield RedisProducer(pipe)

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[RedisConsumer]:
        """Connect, and stay connected."""
        consumer = RedisConsumer(endpoint)
        with contextlib.closing(consumer.inbox):
            async with keep_up(endpoint, consumer.line):
                yield consumer


adapter = RedisAdapter()
