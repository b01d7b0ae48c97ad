"""Reads an outbox in PostgreSQL by position: publishes wake it up, and it also checks once a second."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from brokers import inbox
from brokers.api import Gap, Message
from brokers.endpoint import Endpoint
from brokers.errors import Refusal
from brokers.link import Link
from brokers.log_reader import Entry, LogReader
from brokers.postgres_link import WATCH_S, PostgresSession, dial, kind_of
from brokers.postgres_table import START, OutboxTable, Page, Place
from brokers.topic_names import TopicNames

MAX_TOPIC_BYTES = 65_536
"""fanbench's own limit: PostgreSQL accepts 1 GB."""
_SESSION = "SET enable_seqscan = off; SET jit = off"
"""A query plan from when the table was small would stay for a minute, and read the whole table each time."""
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.001, 0.05
"""How soon it checks again for rows that wait for an open transaction."""
_HELD_S = 1.0
_HELD = "rows wait for the end of a transaction that is open elsewhere on this server: see pg_stat_activity"


def topic_names(endpoint: Endpoint) -> TopicNames:
    """Topics as the table stores them."""
    return TopicNames(endpoint, MAX_TOPIC_BYTES, _name_of)


def _name_of(topic: str) -> str:
    if "\0" in topic:
        raise ValueError("it has a NUL, which no text in PostgreSQL may have")
    return topic


async def dial_table(endpoint: Endpoint, table: OutboxTable) -> PostgresSession:
    """A session that finds its table, and creates it if it is missing."""
    session = await dial(endpoint)
    try:
        await session.execute(_SESSION)
        await table.ensure(session)
    except BaseException:
        await session.hang_up()
        raise
    return session


class PostgresOutboxConsumer:
    """A `ReconnectLoop` for `keep_up`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.link = Link(endpoint)
        self.kind_of = kind_of
        self._endpoint = endpoint
        self._table = OutboxTable(endpoint)
        self._session: PostgresSession | None = None
        self._oid = 0
        self._read_last = START
        self._woken = asyncio.Event()
        self.inbox = inbox.Inbox(endpoint.get(inbox.BUFFER), tells_end=True)
        self.feed = LogReader(endpoint, self.inbox, START, self._history, topic_names(endpoint))

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return at once or, with history, once its first entries arrive."""
        return await self.feed.subscribe(topics, since_ns)

    async def unsubscribe(self, *topics: str) -> None:
        """Take effect at once."""
        self.feed.unsubscribe(topics)

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox

    async def dial(self) -> PostgresSession:
        """Connect, and find the position to read from: at first the table's end, later the last position."""
        session = await dial_table(self.link.target, self._table)
        try:
            session.on_notification(lambda *_: self._woken.set())
            await session.execute('LISTEN "{}"'.format(self._table.channel.replace('"', '""')))
            await self._find_place(session)
            self._session = session
        except BaseException:
            await session.hang_up()
            raise
        return session

    async def _find_place(self, session: PostgresSession) -> None:
        facts, place = await self._table.facts(session), self.feed.position
        last = await self._table.last(session)  # this also shows that the user may read
        same, self._oid = facts.oid == self._oid, facts.oid
        if place == START:
            self.feed.position = facts.end
        elif same and (place != self._read_last or await self._table.has(session, place)):
            self.feed.resumed(0)
        else:  # others may have been deleted with the last row read
            if last < place:
                # The server lost its last transactions, or all rows. Everything that it still has was read or is older.
                # Later rows are new, although they reuse the numbers of lost transactions.
                self.feed.position = facts.end if last == START else Place(last.xid, last.id + 1)
            self._read_last = START
            self.feed.resumed(None)

    async def serve(self, session: PostgresSession) -> None:
        """Continue reading, and check at the same time that the server still accepts writes."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read(session))
            tasks.create_task(session.watch())

    async def _read(self, session: PostgresSession) -> None:
        loop = asyncio.get_running_loop()
        look_s, free_s = _FIRST_LOOK_S, loop.time()
        while True:
            self._woken.clear()
            page = await self._next_page(session)
            if page.rows or not page.waits:
                look_s, free_s = _FIRST_LOOK_S, loop.time()
            self.link.note(_HELD if loop.time() - free_s >= _HELD_S else "")
            if not page.more:
                await self._until_woken(look_s if page.waits else WATCH_S)
                look_s = min(2 * look_s, _LONGEST_LOOK_S)

    async def _next_page(self, session: PostgresSession) -> Page:
        place = self.feed.position
        page = await self._table.read(session, place, is_row=place == self._read_last)
        if page.gone:
            self._read_last = START
            self.feed.trimmed(None)
        for row in page.rows:
            if not self.feed.take_now(row.place, row.topic, row.payload):
                await self.feed.take(row.place, row.topic, row.payload)
            self._read_last = row.place
        self.inbox.end_read()
        return page

    async def _until_woken(self, at_most_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._woken.wait()

    async def _history(self, since_ns: int, upto: Place) -> AsyncGenerator[Sequence[Entry], None]:
        place, more = START, True
        while more:
            if self._session is None:
                raise ConnectionError("not connected")
            page = await self._table.history(self._session, since_ns, place, upto)
            yield [(row.topic, row.payload) for row in page.rows]
            more = page.more
            place = page.rows[-1].place if page.rows else place

    def lost(self, cause: str) -> None:
        """Continue from the position when the connection is back."""
        self._session = None
        self.feed.lost(cause)

    async def hang_up(self, session: PostgresSession) -> None:
        """Close the socket."""
        await session.hang_up()
