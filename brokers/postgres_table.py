"""The outbox: a table of events, read in an order in which no late commit is missed.

A row gets its id when it is inserted, but becomes visible when its transaction commits: 11 may be visible before 10,
and a reader that continued after 11 would never see 10. So each row also has its transaction's number. Rows are read in
the order of (transaction, id), and only up to the oldest open transaction: no row can still appear before that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind
from brokers.options import text, whole_number
from brokers.postgres_link import PostgresSession

_MEANING = "the table of events, with its schema if necessary"


def _read_table(value: str) -> str:
    words = value.split(".")
    if len(words) > 2 or not all(words) or "\0" in value:
        raise ValueError("is not TABLE or SCHEMA.TABLE")
    return value


TABLE = replace(text("table", _MEANING, default_words="fanbench, or the run's name"), read=_read_table)
LENGTH = whole_number("length", "approximate number of rows that the table keeps", 100_000, 1)
_NAME_BYTES = 63
PAGE = 500
PAGE_BYTES = 8 * 1024 * 1024
"""The limit of payloads in one answer, which has at least one row."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_CREATE = """
CREATE TABLE IF NOT EXISTS {table} (
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id bigint GENERATED ALWAYS AS IDENTITY,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    topic text NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (xid, id)
);
CREATE INDEX ON {table} (stored_at)
"""
_INSERT = """
WITH stored AS (INSERT INTO {table} (topic, payload) SELECT * FROM unnest($1::text[], $2::bytea[]))
SELECT pg_notify($3, '')
"""
"""One transaction, one round trip, and one notification for any number of rows.

docs/decisions/0014 has the cost of two.
"""
_PAGE = """
SELECT xid, id, topic, CASE WHEN xid = $1 AND id = $2 THEN '' ELSE payload END AS payload, settled FROM (
    SELECT *, sum(octet_length(payload)) OVER (ORDER BY xid, id) - octet_length(payload) AS before FROM ({rows}) AS page
) AS sized WHERE before < {bytes} ORDER BY xid, id
"""
_READ = """
SELECT xid, id, topic, payload, xid < pg_snapshot_xmin(pg_current_snapshot()) AS settled
FROM {table} WHERE (xid, id) >= ($1::xid8, $2::bigint) ORDER BY xid, id LIMIT {page}
"""
_HISTORY = """
SELECT xid, id, topic, payload, true AS settled
FROM {rows} WHERE (xid, id) > ($1::xid8, $2::bigint) AND (xid, id) <= ($3::xid8, $4::bigint) AND stored_at >= $5::timestamptz
ORDER BY xid, id LIMIT {page}
"""
_SINCE = "(SELECT * FROM {table} WHERE stored_at >= $5::timestamptz OFFSET 0) AS since"
"""The first page. OFFSET 0 makes the planner use the index by time, even without statistics about the table."""
_END = "SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xmin, pg_snapshot_xmax(pg_current_snapshot()) AS xmax, {oid}"
_HAS = "SELECT 1 FROM {table} WHERE xid = $1::xid8 AND id = $2::bigint"
_LAST = "SELECT xid, id FROM {table} ORDER BY xid DESC, id DESC LIMIT 1"
_TRIM = """
WITH ends AS (
    SELECT (SELECT id FROM {table} ORDER BY xid DESC, id DESC LIMIT 1) AS last,
        (SELECT id FROM {table} ORDER BY xid, id LIMIT 1) AS first,
        set_config('synchronous_commit', 'off', true)
)
DELETE FROM {table} WHERE (xid, id) IN (
    SELECT xid, id FROM {table} ORDER BY xid, id LIMIT (SELECT greatest(0, last - first + 1 - $1::bigint) FROM ends)
) AND id <= (SELECT last - $1::bigint FROM ends)
"""
"""The transaction need not wait for the disk, because rows that a crash brings back are trimmed again.

Rolled-back ids leave holes, so the distance of two ids may exceed the number of rows between them; the newest ids stay
in any case.
"""


class Place(NamedTuple):
    """A row's position in reading order; with id 0, the position before all rows of its transaction."""

    xid: int
    id: int


START = Place(0, 0)


@dataclass(frozen=True, slots=True)
class Row:
    """One event."""

    place: Place
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """The result of one read."""

    rows: Sequence[Row]
    """In order, everything that can be passed on."""
    more: bool
    """Whether more may be ready to read now."""
    waits: bool
    """Whether later rows wait for an open transaction to end."""
    gone: bool
    """Whether the last row read no longer exists."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """Identifies a table, so that another table of the same name, or an earlier state, is recognized."""

    oid: int
    end: Place
    """The position before everything that is published later."""
    next_xid: int


class OutboxTable:
    """The statements, for the table that an endpoint names."""

    def __init__(self, endpoint: Endpoint) -> None:
        words = (endpoint.get(TABLE) or endpoint.prefix).split(".")
        self.name = ".".join(map(_shortened, words))
        """The shortened name, for errors and for the channel."""
        self.channel = _shortened(self.name)
        self.quoted = ".".join(_quoted(_shortened(word)) for word in words)
        oid = "to_regclass('{}')::oid::bigint AS oid".format(self.quoted.replace("'", "''"))
        self._insert = _INSERT.format(table=self.quoted)
        self._read = _paged(_READ.format(table=self.quoted, page=PAGE))
        self._since = _paged(_HISTORY.format(rows=_SINCE.format(table=self.quoted), page=PAGE))
        self._history = _paged(_HISTORY.format(rows=self.quoted, page=PAGE))
        self._end = _END.format(oid=oid)

    async def ensure(self, session: PostgresSession) -> None:
        """Create the table if it is missing; raises asyncpg's errors, or BrokerError: the user may not."""
        if (await self.facts(session)).oid:
            return
        try:
            # If two create it at once, both would find it missing, and one would fail.
            await session.execute(
                f"SELECT pg_advisory_xact_lock(hashtext('fanbench'));{_CREATE.format(table=self.quoted)}"
            )
        except Exception as error:
            if getattr(error, "sqlstate", "") == "42501":
                step = f"have {self.name} created by a user who may, or grant this one CREATE on its schema"
                raise BrokerError(
                    session.endpoint, f"create table {self.name}", str(error), CauseKind.PERMISSION, step
                ) from None
            raise

    async def facts(self, session: PostgresSession) -> TableFacts:
        """Look up the table; its oid is 0 if there is none."""
        ((xmin, xmax, oid),) = await session.fetch(self._end)
        return TableFacts(oid or 0, Place(xmin, 0), xmax)

    async def insert(self, session: PostgresSession, topics: Sequence[str], payloads: Sequence[bytes]) -> None:
        """Store events and wake the readers; return once both are committed."""
        await session.execute(self._insert, topics, payloads, self.channel)

    async def trim(self, session: PostgresSession, length: int) -> None:
        """Delete the oldest rows, keeping `length` by their ids."""
        await session.fetch(_TRIM.format(table=self.quoted), length)

    async def has(self, session: PostgresSession, place: Place) -> bool:
        """Whether this row exists."""
        return bool(await session.fetch(_HAS.format(table=self.quoted), *place))

    async def last(self, session: PostgresSession) -> Place:
        """Return the last row's position; START if there is none."""
        found = await session.fetch(_LAST.format(table=self.quoted))
        return Place(*found[0]) if found else START

    async def read(self, session: PostgresSession, place: Place, *, is_row: bool) -> Page:
        """Read what follows a position, which is a row's or that before all rows of a transaction.

        The row itself is read again, without its payload: if it is gone, rows after it may be gone too.
        """
        found = await session.fetch(self._read, *place)
        gone = is_row and not (found and (found[0]["xid"], found[0]["id"]) == place)
        rows = [_row(record) for record in found[is_row and not gone :] if record["settled"]]
        waits = bool(found) and not found[-1]["settled"]
        return Page(rows, not waits and _is_full(found), waits, gone)

    async def history(self, session: PostgresSession, since_ns: int, place: Place, upto: Place) -> Page:
        """Rows stored from a time on, after one position and up to another."""
        moment = _EPOCH + timedelta(microseconds=since_ns // 1_000)
        query = self._since if place == START else self._history
        found = await session.fetch(query, *place, *upto, moment)
        return Page([_row(record) for record in found], _is_full(found), waits=False, gone=False)


def _paged(rows: str) -> str:
    return _PAGE.format(rows=rows, bytes=PAGE_BYTES)


def _shortened(name: str) -> str:
    """The name as PostgreSQL shortens it itself, at the end of a character; `pg_notify` refuses a longer one instead."""
    return name.encode()[:_NAME_BYTES].decode(errors="ignore")


def _quoted(word: str) -> str:
    return '"{}"'.format(word.replace('"', '""'))


def _row(record: Any) -> Row:
    return Row(Place(record["xid"], record["id"]), record["topic"], record["payload"])


def _is_full(found: Sequence[Any]) -> bool:
    return len(found) == PAGE or sum(len(record["payload"]) for record in found) >= PAGE_BYTES
