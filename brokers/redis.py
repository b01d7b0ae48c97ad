"""Redis and Valkey publish/subscribe, through redis-py with hiredis. At most once: the broker keeps nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache

from brokers import inbox, tls
from brokers.api import Delivery, Gap, Message
from brokers.connection import Calls
from brokers.consumer_connection import ConsumerConnection
from brokers.endpoint import Endpoint
from brokers.errors import Refusal
from brokers.link import Link
from brokers.reconnect import heartbeat_s, keep_up
from brokers.redis_link import (
    DATABASE,
    MAX_TOPIC_BYTES,
    Connection,
    Pipe,
    RedisError,
    ResponseError,
    close,
    kind_of,
    open_connection,
    ports,
    send,
    watch_primary,
)
from brokers.redis_primary import ROLE, SENTINEL_OPTIONS
from brokers.topic_names import TOPICS, TopicNames


class RedisProducer:
    """PUBLISH through one pipelined connection."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._submit = pipe.submit
        self._name_of = pipe.names.of
        self.link = pipe.link

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the broker answered: it has written the message to every subscriber's connection."""
        try:
            await self._submit("PUBLISH", self._name_of(topic), payload)
        except ResponseError as error:
            raise self._pipe.failed(topic, error) from None


@dataclass(slots=True)
class _Asked:
    """A command under way."""

    confirmations: int
    """That are still to come, one for each topic."""
    answer: asyncio.Future[None]


@lru_cache(TOPICS)
def _text(name: bytes) -> str:
    return name.decode()


class RedisConsumer:
    """One connection in subscriber mode."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.inbox = inbox.Inbox(endpoint.get(inbox.BUFFER))
        calls = Calls(open_connection, self._serve, close, (OSError, RedisError), kind_of)
        names = TopicNames(endpoint, MAX_TOPIC_BYTES)
        self.line = ConsumerConnection(endpoint, self.inbox, calls, self._send, names)
        self._waiting: deque[_Asked] = deque()
        self._heard = False

    @property
    def link(self) -> Link:
        """Whether the connection is up."""
        return self.line.link

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return once the broker confirmed or refused each topic, which may be after a reconnect."""
        return await self.line.subscribe(topics, since_ns)

    async def unsubscribe(self, *topics: str) -> None:
        """Stop at once here, and return once the broker confirmed or the connection is lost."""
        names = self.line.forget(topics)
        if names and self.line.connection is not None:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(self._endpoint.timeout_s):
                    await self._confirmed(self.line.connection, "UNSUBSCRIBE", names)

    async def _send(self, connection: Connection, names: Sequence[str]) -> Mapping[str, Refusal]:
        """The broker refuses all topics of a command if it refuses one, by one error that names none."""
        if connection is self.line.connection:
            await self._confirmed(connection, "SUBSCRIBE", names)
            return {}
        # A new connection: the confirmations are the first that comes.
        await send(connection, connection.pack_command("SUBSCRIBE", *names))
        for _ in names:
            await connection.read_response()
        return {}

    async def _confirmed(self, connection: Connection, command: str, names: Sequence[str]) -> None:
        asked = _Asked(len(names), asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        await send(connection, connection.pack_command(command, *names))
        await asked.answer

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox

    async def _serve(self, connection: Connection) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(connection))
                tasks.create_task(self._beat(connection))
                tasks.create_task(watch_primary(self._endpoint, self.line.link.target, itself=True))
        finally:
            waiting, self._waiting = self._waiting, deque()
            for asked in waiting:
                if not asked.answer.done():
                    asked.answer.set_exception(ConnectionError("connection lost"))

    async def _read(self, connection: Connection) -> None:
        topics, put = self.line.topics, self.inbox.put
        while True:
            try:
                reply = await connection.read_response()
            except ResponseError as error:
                self._answered(error)
                continue
            self._heard = True
            if reply[0] == b"message":
                name = _text(reply[1])
                if name in topics:
                    put(name, reply[2])
            elif reply[0] in (b"subscribe", b"unsubscribe"):
                self._answered(None)

    def _answered(self, error: ResponseError | None) -> None:
        """Commands are answered in their order, with a confirmation for each topic or with one error."""
        if not self._waiting:
            if error is not None:
                raise error
            return
        asked = self._waiting[0]
        asked.confirmations -= 1
        if error is None and asked.confirmations:
            return
        self._waiting.popleft()
        if asked.answer.done():  # its caller was cancelled
            return
        if error is None:
            asked.answer.set_result(None)
        else:
            asked.answer.set_exception(error)

    async def _beat(self, connection: Connection) -> None:
        while True:
            await asyncio.sleep(heartbeat_s(self._endpoint))
            self._heard = False
            await send(connection, connection.pack_command("PING"))
            await asyncio.sleep(self._endpoint.timeout_s)
            if not self._heard:
                raise TimeoutError


class RedisAdapter:
    """`redis://[user:password@]host[:port][/database]`, `rediss://` with TLS, by Sentinel, by a Unix socket; Valkey too."""

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
