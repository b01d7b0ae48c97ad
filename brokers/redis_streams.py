"""Redis and Valkey streams, through redis-py with hiredis. At least once, with replay.

Producers XADD to one stream with a length bound; each consumer reads it by position with XREAD. An entry survives a
crash of the server only if the server keeps an append-only file.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from brokers import inbox, tls
from brokers.api import Delivery, Done, Gap, Message
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, Refusal, standard_kind
from brokers.link import Link
from brokers.log_reader import LogReader
from brokers.options import text, whole_number
from brokers.recent_entries import RECENT
from brokers.reconnect import finish, heartbeat_s, keep_up, quietly
from brokers.redis_answers import Batch, TooLargeError
from brokers.redis_link import (
    DATABASE,
    MAX_TOPIC_BYTES,
    Connection,
    ResponseError,
    ask,
    close,
    kind_of,
    open_connection,
    ports,
    watch_primary,
)
from brokers.redis_pipe import Pipe
from brokers.redis_primary import ROLE, SENTINEL_OPTIONS, WATCH_S, Ask, by_sentinel, require_primary
from brokers.redis_stream_facts import START, RedisStreamFacts, facts_of, ids_of, order, require_reading
from brokers.redis_stream_history import RedisStreamHistory
from brokers.redis_stream_reads import StreamRead, StreamReads
from brokers.topic_names import TopicNames

STREAM = text("stream", "key of the stream that all topics share", default_words="fanbench, or the run's name")
LENGTH = whole_number("length", "approximate number of entries that the stream keeps", 100_000, 1)


def stream_of(endpoint: Endpoint) -> str:
    """The stream's key."""
    return endpoint.get(STREAM) or endpoint.prefix


class RedisStreamsProducer:
    """Sends XADD through one pipelined connection."""

    def __init__(self, endpoint: Endpoint, pipe: Pipe) -> None:
        self._pipe = pipe
        self._name_of = pipe.names.of
        self.link = pipe.link
        self.flush = pipe.flush
        self._stream = stream_of(endpoint)
        self._length = endpoint.get(LENGTH)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the entry is in the stream."""
        try:
            await self._pipe.submit(*self._adds(topic, payload))
        except ResponseError as error:
            raise self._pipe.failed(topic, error) from None

    def begin(self, topic: str, payload: bytes, done: Done) -> None:
        """Publish without a task."""
        try:
            self._pipe.publish(topic, self._adds(topic, payload), done)
        except BrokerError as error:
            done(error)

    def _adds(self, topic: str, payload: bytes) -> tuple[str | bytes | int, ...]:
        name = self._name_of(topic)
        return ("XADD", self._stream, "MAXLEN", "~", self._length, "*", "topic", name, "payload", payload)


class RedisStreamsConsumer:
    """A `ReconnectLoop` for `keep_up`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.link = Link(endpoint)
        self.kind_of = kind_of
        self._endpoint = endpoint
        self._stream = stream_of(endpoint)
        self._added = 0
        self._read_last = b""
        self._batch = Batch()
        self._large = False
        """Whether an entry of the stream is too large to be read; then only ids are read."""
        self._pass = False
        """Whether the next entry is too large."""
        self._far_behind = max(1, endpoint.get(LENGTH) // 2)
        """If an answer has this many entries, some may have been dropped before they were read."""
        self.inbox = inbox.Inbox(endpoint.get(inbox.BUFFER), tells_end=True)
        self.history = RedisStreamHistory(endpoint, self.link, self._stream)
        self.feed = LogReader(endpoint, self.inbox, b"", self.history.read, TopicNames(endpoint, MAX_TOPIC_BYTES))

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return at once or, with history, once its first entries arrive."""
        return await self.feed.subscribe(topics, since_ns)

    async def unsubscribe(self, *topics: str) -> None:
        """Take effect at once."""
        self.feed.unsubscribe(topics)

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox

    async def dial(self) -> Connection:
        """Connect, and find the position to read from: at first the stream's end, later the last position."""
        connection = await open_connection(self.link.target, self._stream)
        ask_server = partial(ask, connection)
        try:
            facts = await self._facts(ask_server)
            await require_reading(ask_server, self._stream)
            known = await self._has(ask_server, self.feed.position) if self.feed.position else True
        except BaseException:
            await finish(quietly(close(connection), self._endpoint.timeout_s))
            raise
        position = self.feed.position
        rewound = facts.added < self._added
        self._added = facts.added
        if not position:
            self.feed.position = facts.last
        elif self._pass and facts.following:
            self.feed.position, self._pass = facts.following, False
            self.feed.resumed(1)
        elif order(facts.last) < order(position):
            # The server lost its last entries. Everything that it still has was read or is older, so later entries are
            # new.
            self.feed.position = facts.last
            self.feed.resumed(None)
        elif rewound or order(facts.first) > order(position) or not known:
            self.feed.resumed(None)  # it was trimmed beyond the position, or replaced by another stream
        else:
            self.feed.resumed(0)
        return connection

    async def _facts(self, ask_server: Ask) -> RedisStreamFacts:
        if self._large:
            return await ids_of(ask_server, self._stream, self.feed.position)
        try:
            return await facts_of(ask_server, self._stream)
        except TooLargeError:
            self._large = True
            raise

    async def _has(self, ask_server: Ask, position: bytes) -> bool:
        """Whether the last entry read still exists; True before the first read."""
        if position != self._read_last:
            return True
        return bool(await ask_server("XRANGE", self._stream, position, position))

    async def serve(self, connection: Connection) -> None:
        """Continue reading, and check at the same time that the stream is the same and the server still the primary."""
        reads = StreamReads(
            connection,
            self.feed,
            self._stream,
            self._batch,
            enough=self._far_behind,
            wait_s=min(WATCH_S, heartbeat_s(self._endpoint)),
            timeout_s=self._endpoint.timeout_s,
            pass_by=self.link.pass_by,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(reads.commands.fail_at_end())
                tasks.create_task(self._read(reads))
                if by_sentinel(self._endpoint):
                    tasks.create_task(watch_primary(self.link.target, connection, itself=False))
        finally:
            self._read_last = reads.last or self._read_last

    async def _read(self, reads: StreamReads) -> None:
        """Finish the answers that need more than passing on. An empty one shows that the server is alive."""
        ask_server, may_ask = reads.commands.submit, True
        while True:
            read = await self._next(reads)
            if not read.last:
                async with asyncio.timeout(self._endpoint.timeout_s):
                    may_ask = may_ask and await require_primary(self.link.target, ask_server)
            if not read.last or read.behind:
                await self._look(ask_server, read.before, behind=read.behind)
            for position, topic, payload in read.rest:
                if not self.feed.take_now(position, topic, payload):
                    await self.feed.take(position, topic, payload)
            self.inbox.end_read()
            if read.last:
                self.feed.position = reads.last = read.last

    async def _next(self, reads: StreamReads) -> StreamRead:
        """If an answer exceeds the bound, the next connection reads less, or skips the one large entry."""
        try:
            return await reads.next()
        except TooLargeError:
            self._pass = self._large = not self._batch.too_large()
            raise

    async def _look(self, ask_server: Ask, before: bytes, *, behind: bool) -> None:
        """Report entries that were dropped before they were read, by the length bound or with the whole stream."""
        async with asyncio.timeout(self._endpoint.timeout_s):
            facts = await self._facts(ask_server)
        anew, self._added = facts.added < self._added, facts.added
        overtaken = behind and before != START and order(facts.first) > order(before)
        emptied = not behind and not facts.length and order(facts.last) > order(before)
        if anew or overtaken or emptied:
            self.feed.trimmed(None)
        if not behind and (emptied or order(facts.last) < order(before)):
            self.feed.position = facts.last

    def lost(self, cause: str) -> None:
        """Continue from the position when the connection is back."""
        self.history.dial_again()
        self.feed.lost(cause)

    async def hang_up(self, connection: Connection) -> None:
        """Close the socket."""
        await close(connection)


class RedisStreamsAdapter:
    """`redis+streams://[user:password@]host[:port][/database]`, `rediss+streams://` with TLS."""

    name = "redis-streams"
    schemes = (
        "redis+streams",
        "rediss+streams",
        "redis+streams+sentinel",
        "rediss+streams+sentinel",
        "redis+streams+unix",
        "redis+streams+cluster",
        "rediss+streams+cluster",
    )
    deliveries: tuple[Delivery, ...] = ("at-least-once",)
    replay = True
    max_topic_bytes = MAX_TOPIC_BYTES
    default_ports = ports(*schemes)
    options = (STREAM, LENGTH, RECENT, inbox.BUFFER, DATABASE, ROLE, *SENTINEL_OPTIONS, *tls.OPTIONS)

    async def clean_up(self, endpoint: Endpoint) -> None:
        """Remove the run's stream; a stream named in the URL belongs to somebody else.

        Raises:
            BrokerError: it cannot be removed.
        """
        if endpoint.get(STREAM):
            return
        connection = await open_connection(endpoint, stream_of(endpoint))
        try:
            await ask(connection, "DEL", stream_of(endpoint))
        except ResponseError as error:
            kind = kind_of(error) or standard_kind(error)
            raise BrokerError(endpoint, f"remove stream {stream_of(endpoint)}", str(error), kind) from None
        finally:
            await close(connection)

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[RedisStreamsProducer]:
        """Connect, and stay connected."""
        pipe = Pipe(endpoint, key=stream_of(endpoint))
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
            await finish(consumer.history.close())


adapter = RedisStreamsAdapter()
