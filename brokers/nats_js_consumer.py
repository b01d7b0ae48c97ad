"""A JetStream consumer that notices its loss, and continues after the last message read."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from brokers import inbox, nats_errors, nats_link
from brokers.api import Gap, Message
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, Refusal
from brokers.link import Link
from brokers.log_reader import Entry, LogReader
from brokers.nats_by_number import ByNumber, stored_ns
from brokers.nats_dialler import NatsDialler
from brokers.nats_history import history
from brokers.nats_link import NatsConnection
from brokers.nats_parser import Sink
from brokers.nats_push import (
    ACK_EVERY,
    HEARTBEAT_S,
    PushConsumer,
    from_number,
    from_time,
    is_there,
    number_of,
    place,
    start_consumer,
)
from brokers.nats_stream import StreamFacts, ensure_stream, look_at_stream, subjects_of
from brokers.nats_subjects import topic_names
from brokers.nats_subscriptions import end_subscription
from brokers.reconnect import finish, quietly

_LOOK_S = HEARTBEAT_S
_ELECTION_S = 20.0
"""JetStream's own group elects a leader within 4 to 9 s, more on a busy machine. Then the connection is dialled again."""
_MISSES = 2
"""After this many checks without a message or a heartbeat, the server is asked whether the consumer still exists."""
_log = logging.getLogger("fanbench.brokers")


@dataclass(slots=True, eq=False)
class _Reading:
    """The deliveries of one consumer at the broker."""

    consumer: PushConsumer | None = None
    """None until its start is known: its messages wait in the backlog."""
    backlog: deque[tuple[int, str, bytes, bytes]] = field(default_factory=deque)
    """Messages without room in the buffer, with their reply subjects."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    heard: bool = True
    acknowledged: bytes = b""


class JetStreamConsumer:
    """A `ReconnectLoop` for `keep_up`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._cut = len(subjects_of(endpoint).encode()) + 1
        self.inbox = inbox.Inbox(endpoint.get(inbox.BUFFER), tells_end=True)
        self.feed = LogReader(endpoint, self.inbox, -1, self._history, topic_names(endpoint))
        self.link = Link(endpoint)
        self.kind_of = nats_errors.kind_of
        self._dialler = NatsDialler()
        self._link: NatsConnection | None = None
        self._reading = _Reading()
        self._created = ""
        self._read_ns, self._reply = 0, b""
        """When the message at the position was stored, or its reply subject, which contains that time."""

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return at once or, with history, once its first entries arrive."""
        return await self.feed.subscribe(topics, since_ns)

    async def unsubscribe(self, *topics: str) -> None:
        """Take effect at once."""
        self.feed.unsubscribe(topics)

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox

    async def dial(self) -> NatsConnection:
        """Connect, and read: at first from the stream's end, later from the last position."""
        link = await self._dialler.dial(self.link.target)
        link.parser.end_read = self.inbox.end_read
        try:
            facts = await ensure_stream(self._endpoint, link)
            try:
                await self._begin(link, facts)
            except BrokerError as error:
                if not error.transient or self.feed.position < 0 or not (await self._start(link, facts))[1]:
                    raise
                self._reading = _Reading()  # `serve` reads by number until it has started a consumer
                self.feed.resumed()
        except BaseException:
            await finish(quietly(nats_link.hang_up(link), self._endpoint.timeout_s))
            raise
        self._link = link
        return link

    async def _begin(self, link: NatsConnection, facts: StreamFacts, *, patiently: bool = False) -> None:
        """Start a consumer after the last message read, and report a Gap if something may be missing.

        With `patiently`, JetStream may have to elect a leader first: until then, messages are read by number.
        """
        start, proved = await self._start(link, facts)
        reading = _Reading()
        if patiently and proved:
            by_number = ByNumber(self._endpoint, link, self.feed)
            try:
                consumer = await by_number.until_consumer(self._taker(reading))
            finally:
                self._read_ns = by_number.read_ns or self._read_ns
        else:
            consumer = await start_consumer(self._endpoint, link, self._taker(reading), start)
        before, position = consumer.before, self.feed.position
        if position < 0:
            self._read_ns = facts.last_ns
        elif not proved:
            self.feed.lost("the stream has lost entries, or is another one")
            self._read_ns = await stored_ns(self._endpoint, link, before) or self._read_ns
        self.feed.resumed(0 if proved else None)
        if proved and 0 <= position < before:
            self.feed.trimmed(before - position)
        self.feed.position = max(before, position) if proved else before
        self._created = facts.created
        self._reading, reading.consumer = reading, consumer
        reading.wake.set()

    async def _start(self, link: NatsConnection, facts: StreamFacts) -> tuple[dict[str, Any], bool]:
        """Return where a consumer must begin, and whether it is certain that nothing is missing before that.

        A server that restarts without its last entries reuses their numbers: only the time distinguishes them.
        A message stored before the last one read is history, and never live.
        """
        position = self.feed.position
        if position < 0:
            return from_number(facts.last + 1), True
        if self._reply:
            self._read_ns, self._reply = place(self._reply)[1], b""
        if facts.created != self._created or facts.last < position:
            return from_time(self._read_ns + 1), False
        if not position or position < facts.first:
            return from_number(position + 1), True  # numbers are missing where the stream dropped messages
        stored = await stored_ns(self._endpoint, link, position)
        if stored is None or stored == self._read_ns:
            return from_number(position + 1), stored is not None
        return from_time(self._read_ns + 1), False

    def _taker(self, reading: _Reading) -> Sink:
        """Called for each message: passes it on at once, or keeps it for `_catch_up` while there is no room."""
        cut, feed, backlog, wake = self._cut, self.feed, reading.backlog, reading.wake

        def take(subject: bytes, reply: bytes, payload: bytes) -> None:
            reading.heard = True
            if not reply:  # a heartbeat
                return
            number, name = number_of(reply), self._name(subject[cut:])
            if (
                not backlog
                and reading.consumer is not None
                and number == feed.position + 1
                and feed.take_now(number, name, payload)
            ):
                self._reply = reply
                if number % ACK_EVERY:
                    return
            else:
                backlog.append((number, name, payload, reply))
            wake.set()

        return take

    def _name(self, name: bytes) -> str:
        try:
            return name.decode()
        except UnicodeDecodeError:
            self.link.pass_by("a subject that is not UTF-8")
            return name.decode(errors="surrogateescape")  # nobody can subscribe to such a topic

    async def _catch_up(self, link: NatsConnection, reading: _Reading) -> None:
        """Pass on the waiting messages in order, and acknowledge them, which lets the broker send more."""
        while True:
            await reading.wake.wait()
            reading.wake.clear()
            while reading.consumer is not None and reading.backlog:
                number, name, payload, reply = reading.backlog[0]
                missing = number - self.feed.position - 1
                if missing > 0:
                    self.feed.trimmed(missing)
                if missing >= 0:
                    await self.feed.take(number, name, payload)
                    self._reply = reply
                reading.backlog.popleft()
            await self._acknowledge(link, reading)

    async def _acknowledge(self, link: NatsConnection, reading: _Reading) -> None:
        """Acknowledge the message at the position and all before it."""
        if self._reply and self._reply != reading.acknowledged:
            reading.acknowledged = self._reply
            await link.client.publish(self._reply.decode(), b"+ACK")

    def _history(self, since_ns: int, upto: int) -> AsyncGenerator[Sequence[Entry], None]:
        if self._link is None:
            raise ConnectionError("connection lost")
        return history(self._endpoint, self._link, since_ns, upto)

    async def serve(self, link: NatsConnection) -> None:
        """Read until the end of the connection."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(nats_link.until_lost(link))
            tasks.create_task(self._read_on(link))

    async def _read_on(self, link: NatsConnection) -> None:
        """Read; start a new consumer when the current one is lost."""
        while True:
            if self._reading.consumer is not None:
                await self._until_gone(link, self._reading)
                _log.warning("%s: the consumer disappeared at the broker; starting another one", self._endpoint)
            async with asyncio.timeout(_ELECTION_S):
                await self._begin(link, await look_at_stream(self._endpoint, link), patiently=True)

    async def _until_gone(self, link: NatsConnection, reading: _Reading) -> None:
        """Return when the server no longer knows the consumer, or does not answer."""
        handing = asyncio.create_task(self._catch_up(link, reading), name=f"{self._endpoint} handing on")
        consumer, misses = reading.consumer, 0
        assert consumer is not None
        try:
            while not handing.done():
                await asyncio.wait({handing}, timeout=_LOOK_S)
                await self._acknowledge(link, reading)
                misses = 0 if reading.heard else misses + 1
                reading.heard = False
                if misses >= _MISSES and not await is_there(self._endpoint, link, consumer.name):
                    return
            handing.result()
        finally:
            handing.cancel()
            reading.consumer = None  # later messages of this consumer belong to the next one
            await end_subscription(link, consumer.subscription)

    def lost(self, cause: str) -> None:
        """Continue from the position when the connection is back."""
        self._link = None
        self.feed.lost(cause)

    async def hang_up(self, link: NatsConnection) -> None:
        """Close."""
        await nats_link.hang_up(link)
