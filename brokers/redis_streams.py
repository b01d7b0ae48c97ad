"""Redis and Valkey streams, through redis-py with hiredis. At least once, with replay.

XADD with a length bound to one stream; each consumer reads it by position with XREAD. An entry outlives a crash of the
server only where the server keeps an append-only file.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from brokers import inbox, tls
from brokers.api import Delivery, Gap, Message
from brokers.endpoint import Endpoint
from brokers.errors import Refusal
from brokers.link import Link
from brokers.log_reader import Entry, LogReader
from brokers.options import text, whole_number
from brokers.reconnect import finish, heartbeat_s, keep_up, quietly
from brokers.redis_link import (
    MAX_TOPIC_BYTES,
    PORT,
    Connection,
    Pipe,
    ResponseError,
    close,
    kind_of,
    open_connection,
    send,
)
from brokers.topic_names import TopicNames

STREAM = text("stream", "key of the stream that all topics share", default_words="fanbench, or the run's name")
LENGTH = whole_number("length", "entries that the stream keeps, about", 100_000, 1)
_BATCH = 500
_START = b"0-0"


def stream_of(endpoint: Endpoint) -> str:
    """The stream's key."""
    return endpoint.get(STREAM) or endpoint.prefix


def order(position: bytes) -> tuple[int, int]:
    """A stream id such as 1700000000000-3 as numbers that compare as the stream does."""
    milliseconds, _, sequence = position.partition(b"-")
    return int(milliseconds), int(sequence or 0)


def parse(entries: Sequence[Any]) -> list[tuple[bytes, str, bytes]]:
    """Position, topic and payload of each entry that is ours."""
    return [(id, fields[1].decode(), fields[3]) for id, fields in entries if fields and fields[0] == b"topic"]


async def ask(connection: Connection, *command: str | bytes | int) -> Any:
    """One command and its answer."""
    await send(connection, connection.pack_command(*command))
    return await connection.read_response()


class RedisStreamsProducer:
    """XADD through one pipelined connection."""

    def __init__(self, endpoint: Endpoint, pipe: Pipe) -> None:
        self._pipe = pipe
        self._name_of = pipe.names.of
        self.link = pipe.link
        self._stream = stream_of(endpoint)
        self._length = endpoint.get(LENGTH)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the entry is in the stream."""
        name = self._name_of(topic)
        command = ("XADD", self._stream, "MAXLEN", "~", self._length, "*", "topic", name, "payload", payload)
        try:
            await self._pipe.submit(*command)
        except ResponseError as error:
            raise self._pipe.failed(topic, error) from None


class RedisStreamsConsumer:
    """A `ReconnectLoop` for `keep_up`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.link = Link(endpoint)
        self.kind_of = kind_of
        self._endpoint = endpoint
        self._stream = stream_of(endpoint)
        self._far_behind = max(1, min(_BATCH, endpoint.get(LENGTH) // 2))
        """Entries in one answer from which on some may have been dropped before they were read."""
        self.inbox = inbox.Inbox(endpoint.get(inbox.BUFFER))
        self.feed = LogReader(endpoint, self.inbox, b"", self._history, TopicNames(endpoint, MAX_TOPIC_BYTES))

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return at once, or once the history begins to come."""
        return await self.feed.subscribe(topics, since_ns)

    async def unsubscribe(self, *topics: str) -> None:
        """Take effect at once."""
        self.feed.unsubscribe(topics)

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox

    async def dial(self) -> Connection:
        """Connect, and find the place to read from: the stream's end at first, later where the reading stopped."""
        connection = await open_connection(self.link.target)
        try:
            first, last = await self._bounds(connection)
        except BaseException:
            await finish(quietly(close(connection), self._endpoint.timeout_s))
            raise
        position = self.feed.position
        if not position:
            self.feed.position = last
        elif order(last) < order(position):  # a server that came back without its data numbers anew
            self.feed.position = _START
            self.feed.resumed(None)
        else:
            self.feed.resumed(None if order(first) > order(position) else 0)
        return connection

    async def _bounds(self, connection: Connection) -> tuple[bytes, bytes]:
        """The ids of the first entry that is still there and of the last that was ever added."""
        try:
            found = await ask(connection, "XINFO", "STREAM", self._stream)
        except ResponseError as error:
            if "no such key" in str(error):
                return _START, _START
            raise
        facts = dict(zip(found[::2], found[1::2], strict=True))
        last: bytes = facts[b"last-generated-id"]
        return (facts[b"first-entry"] or [last])[0], last

    async def serve(self, connection: Connection) -> None:
        """Read on; a read that finds nothing is the sign of life."""
        wait_s = heartbeat_s(self._endpoint)
        while True:
            before = self.feed.position
            command = ("XREAD", "COUNT", _BATCH, "BLOCK", int(wait_s * 1000), "STREAMS", self._stream, before)
            async with asyncio.timeout(wait_s + self._endpoint.timeout_s):
                found = await ask(connection, *command)
            if not found:
                continue
            entries = found[0][1]
            behind = before != _START and len(entries) >= self._far_behind
            if behind and order((await self._bounds(connection))[0]) > order(before):
                self.feed.trimmed(None)  # the length bound may have caught up
            for position, topic, payload in parse(entries):
                if not self.feed.take_now(position, topic, payload):
                    await self.feed.take(position, topic, payload)
            self.feed.position = entries[-1][0]

    async def _history(self, since_ns: int, upto: bytes) -> AsyncGenerator[Sequence[Entry], None]:
        connection = await open_connection(self.link.target)
        try:
            start = b"%d-0" % (since_ns // 1_000_000)
            while order(start) <= order(upto):
                async with asyncio.timeout(self._endpoint.timeout_s):
                    entries = await ask(connection, "XRANGE", self._stream, start, upto, "COUNT", _BATCH)
                yield [(topic, payload) for _, topic, payload in parse(entries)]
                if len(entries) < _BATCH:
                    return
                start = b"%d-%d" % (order(entries[-1][0])[0], order(entries[-1][0])[1] + 1)
        finally:
            await close(connection)

    def lost(self, cause: str) -> None:
        """Go on from the position when the connection is back."""
        self.feed.lost(cause)

    async def hang_up(self, connection: Connection) -> None:
        """Close the socket."""
        await close(connection)


class RedisStreamsAdapter:
    """`redis+streams://[user:password@]host[:port][/database]`, `rediss+streams://` with TLS."""

    name = "redis-streams"
    schemes = ("redis+streams", "rediss+streams")
    deliveries: tuple[Delivery, ...] = ("at-least-once",)
    replay = True
    max_topic_bytes = MAX_TOPIC_BYTES
    default_ports = dict.fromkeys(schemes, PORT)
    options = (STREAM, LENGTH, inbox.BUFFER, *tls.OPTIONS)

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[RedisStreamsProducer]:
        """Connect, and stay connected."""
        pipe = Pipe(endpoint)
        async with keep_up(endpoint, pipe):
            yield RedisStreamsProducer(endpoint, pipe)

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[RedisStreamsConsumer]:
        """Connect, and stay connected."""
        consumer = RedisStreamsConsumer(endpoint)
        try:
            async with keep_up(endpoint, consumer):
                yield consumer
        finally:
            await finish(consumer.feed.close())


adapter = RedisStreamsAdapter()
