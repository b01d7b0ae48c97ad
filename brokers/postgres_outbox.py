"""An outbox in PostgreSQL, through asyncpg: a table of events, and NOTIFY to wake its readers.

At least once, with replay. An application can also store events in its own transaction: INSERT INTO the table, then
NOTIFY its name. Without the NOTIFY, readers see the event within a second.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from brokers import inbox
from brokers.api import Delivery
from brokers.connection import Calls, ProducerConnection
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, Reaction, reaction_to, standard_kind
from brokers.postgres_link import ERRORS, OPTIONS, PORT, PostgresSession, dial, kind_of
from brokers.postgres_outbox_consumer import MAX_TOPIC_BYTES, PostgresOutboxConsumer, dial_table, topic_names
from brokers.postgres_sender import Outgoing, PostgresSender, settle
from brokers.postgres_table import LENGTH, TABLE, OutboxTable
from brokers.reconnect import finish, keep_up
from brokers.waiting import reason

_TRIM_SHARE = 100


class PostgresOutboxProducer:
    """Publishes that overlap share an INSERT."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._table = OutboxTable(endpoint)
        self._length = endpoint.get(LENGTH)
        self._since_trim = 0
        calls = Calls(self._dial, PostgresSession.watch, PostgresSession.hang_up, ERRORS, kind_of)
        self.sender: PostgresSender[bytes] = PostgresSender(endpoint, calls, self._store, topic_names(endpoint))
        self.link = self.sender.link

    async def _dial(self, endpoint: Endpoint) -> PostgresSession:
        session = await dial_table(endpoint, self._table)
        self._since_trim = self._length  # rows that other processes left
        return session

    async def _store(self, session: PostgresSession, batch: Sequence[Outgoing[bytes]]) -> None:
        await self._table.insert(session, [one.name for one in batch], [one.data for one in batch])
        settle(batch)
        self._since_trim += len(batch)
        if self._since_trim < max(1, self._length // _TRIM_SHARE):
            return
        self._since_trim = 0
        try:
            await self._table.trim(session, self._length)
            self.link.note("")
        except ERRORS as error:  # the events are stored in any case
            if reaction_to(kind_of(error) or standard_kind(error)) is Reaction.GONE:
                raise
            self.link.note(f"old rows are not deleted: {reason(error)}")

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the event is stored: on disk, unless the server is configured not to wait for that.

        Raises:
            TopicRefusedError: PostgreSQL does not accept the topic's text, or the user may not store it.
            BrokerError: there is no connection, it was lost in between, or the server refused.
        """
        await self.sender.publish(topic, self.sender.names.of(topic), payload)


class PostgresOutboxAdapter:
    """`postgresql+outbox://[user[:password]@]host[:port][,host[:port]…]/database`, or `postgres+outbox://`."""

    name = "postgres-outbox"
    schemes = ("postgresql+outbox", "postgres+outbox")
    deliveries: tuple[Delivery, ...] = ("at-least-once",)
    replay = True
    max_topic_bytes = MAX_TOPIC_BYTES
    default_ports = dict.fromkeys(schemes, PORT)
    options = (TABLE, LENGTH, inbox.BUFFER, *OPTIONS)

    async def clean_up(self, endpoint: Endpoint) -> None:
        """Remove the run's table; a table named in the URL belongs to somebody else.

        Raises:
            BrokerError: it cannot be removed.
        """
        if endpoint.get(TABLE):
            return
        table = OutboxTable(endpoint)
        calls = Calls(dial, PostgresSession.watch, PostgresSession.hang_up, ERRORS, kind_of)
        line: ProducerConnection[PostgresSession] = ProducerConnection(endpoint, calls, topic_names(endpoint))
        async with keep_up(endpoint, line):
            assert line.connection is not None
            try:
                await line.connection.execute(f"DROP TABLE IF EXISTS {table.quoted}")
            except ERRORS as error:
                kind = kind_of(error) or standard_kind(error)
                raise BrokerError(endpoint, f"remove table {table.name}", reason(error), kind) from None

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[PostgresOutboxProducer]:
        """Connect, and stay connected.

        Raises:
            BrokerError: the first attempt failed.
        """
        producer = PostgresOutboxProducer(endpoint)
        async with keep_up(endpoint, producer.sender):
            yield producer

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[PostgresOutboxConsumer]:
        """Connect, and stay connected.

        Raises:
            BrokerError: the first attempt failed.
        """
        consumer = PostgresOutboxConsumer(endpoint)
        try:
            async with keep_up(endpoint, consumer):
                yield consumer
        finally:
            await finish(consumer.feed.close())


adapter = PostgresOutboxAdapter()
