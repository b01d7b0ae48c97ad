"""An outbox is read completely although ids appear out of order, and it reports what it cannot recover."""

import asyncio
import time
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest

from brokers.clean_up import new_run_name
from brokers.conformance.faults import polled
from brokers.contenders import find_contender
from brokers.errors import BrokerError, CauseKind
from brokers.postgres_link import dial
from brokers.postgres_outbox import adapter
from brokers.postgres_table import OutboxTable
from brokers.registry import open_endpoint
from core.errors import UsageError

DEADLINE_S = 30.0


@pytest.fixture
def bench(running_programs):
    return running_programs.workbench(find_contender("postgres-outbox"))


@pytest.fixture
async def endpoint(bench):
    """A separate table for the test."""
    found = bench.endpoint(run_name=new_run_name())
    async with adapter.producer(found):
        pass
    yield found
    await adapter.clean_up(found)


@asynccontextmanager
async def connected(endpoint):
    session = await dial(endpoint)
    try:
        yield session
    finally:
        await session.hang_up()


def insert(endpoint, topic, payload):
    """The SQL of an application that stores an event in its own transaction."""
    return f"INSERT INTO {OutboxTable(endpoint).quoted} (topic, payload) VALUES ('{topic}', '{payload}')"


class NaiveReader:
    """Reads the rows after the last id, as many outboxes do."""

    def __init__(self, session, endpoint):
        self.session, self.table, self.last, self.payloads = session, OutboxTable(endpoint).quoted, 0, []

    async def read(self):
        query = f"SELECT id, payload FROM {self.table} WHERE id > $1 ORDER BY id"
        for row in await self.session.fetch(query, self.last):
            self.last = row["id"]
            self.payloads.append(row["payload"])


async def test_an_event_with_a_late_commit_is_read_unlike_with_reading_after_the_last_id(bench, endpoint):
    async with (
        connected(endpoint) as slow,
        connected(endpoint) as quick,
        connected(endpoint) as plain,
        bench.reader("t", endpoint=endpoint) as (consumer, reader),
    ):
        naive = NaiveReader(plain, endpoint)
        await slow.execute("BEGIN")
        await slow.execute(insert(endpoint, "t", "late"))
        await quick.execute(insert(endpoint, "t", "early"))
        await naive.read()
        assert naive.payloads == [b"early"], "the later id shows first"
        await polled(lambda: consumer.link.notice, "the consumer says what it waits for")
        assert "pg_stat_activity" in consumer.link.notice
        assert reader.payloads == []
        await slow.execute("COMMIT")
        await reader.count(2)
        await naive.read()
        assert naive.payloads == [b"early"], "the naive way has lost one"
        assert reader.payloads == [b"late", b"early"]
        assert not reader.gaps
        await polled(lambda: not consumer.link.notice, "nothing is waited for any more")


async def test_many_writers_at_once_lose_nothing_and_each_keeps_its_order(bench, endpoint):
    writers, each = 6, 60

    async def write(writer):
        async with connected(endpoint) as session:
            for number in range(each):
                await session.execute("BEGIN")
                await session.execute(insert(endpoint, "t", f"{writer}-{number}"))
                if number % 3 == writer % 3:
                    await session.execute("SELECT pg_sleep(0.003)")
                await session.execute("ROLLBACK" if number % 10 == 9 else "COMMIT")

    async with bench.reader("t", endpoint=endpoint) as (_, reader):
        await asyncio.gather(*[write(writer) for writer in range(writers)])
        kept = [n for n in range(each) if n % 10 != 9]
        await reader.count(writers * len(kept))
        for writer in range(writers):
            mine = [payload for payload in reader.payloads if payload.startswith(b"%d-" % writer)]
            assert mine == [b"%d-%d" % (writer, number) for number in kept]
        assert not reader.gaps


async def test_rows_beyond_the_length_are_deleted_and_an_absent_reader_is_informed(bench, endpoint):
    short = bench.endpoint(endpoint.url, length=100)
    with bench.proxy() as (proxy, _):
        cut = bench.endpoint(f"{endpoint.url.replace(str(bench.address), proxy.address)}&length=100")
        async with adapter.producer(short) as producer, bench.reader("t", endpoint=cut) as (consumer, reader):
            await producer.publish("t", b"seen")
            await reader.count(1)
            proxy.cut()
            async with asyncio.timeout(DEADLINE_S):
                while consumer.link.connected:
                    await consumer.link.changed()
            for start in range(0, 1_000, 100):
                await asyncio.gather(*[producer.publish("t", b"%d" % n) for n in range(start, start + 100)])
            await producer.publish("t", b"last")
            proxy.restore()
            await reader.until(lambda: b"last" in reader.payloads, "the last event")
            assert [gap.lost for gap in reader.gaps] == [None]
            got = [int(payload) for payload in reader.payloads[1:-1]]
            assert got == list(range(got[0], 1_000)), "what was kept comes whole"
            assert got[0] > 500
            async with connected(endpoint) as session:
                ((rows,),) = await session.fetch(f"SELECT count(*) FROM {OutboxTable(endpoint).quoted}")
            assert rows <= 100 + 100


async def test_ids_that_were_rolled_back_do_not_have_the_newest_rows_deleted(endpoint):
    table = OutboxTable(endpoint)
    async with connected(endpoint) as session:
        for payload in ("one", "two"):
            await session.execute(insert(endpoint, "t", payload))
        await session.execute(
            f"SELECT nextval(pg_get_serial_sequence('{table.name}', 'id')) FROM generate_series(1, 50)"
        )
        await session.execute(insert(endpoint, "t", "newest"))
        await table.trim(session, 10)
        rows = await session.fetch(f"SELECT payload FROM {table.quoted}")
    assert [row["payload"] for row in rows] == [b"newest"]


async def test_rows_stored_without_notify_are_read_too(bench, endpoint):
    async with connected(endpoint) as session, bench.reader("t", endpoint=endpoint) as (_, reader):
        await session.execute(insert(endpoint, "t", "silent"))
        await reader.count(1)


async def test_a_history_of_many_pages_arrives_in_order_next_to_live_entries(bench, endpoint):
    since_ns = time.time_ns()
    async with adapter.producer(endpoint) as producer, bench.reader(endpoint=endpoint) as (consumer, reader):
        await asyncio.gather(*[producer.publish("t", b"%d" % n) for n in range(1_700)])
        await consumer.subscribe("t", since_ns=since_ns)
        await asyncio.gather(*[producer.publish("t", b"%d" % n) for n in range(1_700, 2_000)])
        await reader.count(2_000)
        assert reader.payloads == [b"%d" % n for n in range(2_000)]


async def test_large_events_are_read_a_few_at_a_time(bench, endpoint):
    large = bytes(3_000_000)
    async with adapter.producer(endpoint) as producer, bench.reader("t", endpoint=endpoint) as (_, reader):
        await asyncio.gather(*[producer.publish("t", large) for _ in range(8)])
        await producer.publish("t", b"last")
        await reader.count(9)
        assert reader.payloads == [large] * 8 + [b"last"]


async def test_a_row_that_the_server_refuses_harms_no_other_of_its_batch(bench, endpoint):
    async with adapter.producer(endpoint) as producer, bench.reader("t", endpoint=endpoint) as (_, reader):
        async with connected(endpoint) as session:
            await session.execute(f"ALTER TABLE {OutboxTable(endpoint).quoted} ADD CHECK (payload <> 'bad')")
        payloads = [b"1", b"bad", b"2", b"3"]
        ended = await asyncio.gather(*[producer.publish("t", one) for one in payloads], return_exceptions=True)
        assert [ended[0], *ended[2:]] == [None] * 3
        assert isinstance(ended[1], BrokerError)
        assert "check constraint" in str(ended[1])
        await reader.count(3)
        assert reader.payloads == [b"1", b"2", b"3"]


@pytest.fixture
async def modest(bench, endpoint):
    """An endpoint of a user with only the rights that a test grants, and the function that grants them."""
    name = f"modest-{new_run_name()[-6:]}"
    async with connected(endpoint) as session:
        await session.execute(f'CREATE ROLE "{name}" LOGIN')

        async def grant(words):
            await session.execute(f'GRANT {words} ON {OutboxTable(endpoint).quoted} TO "{name}"')

        yield bench.endpoint(endpoint.url.replace("//fanbench@", f"//{name}@")), grant
        await session.execute(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')


@pytest.mark.parametrize(
    "name", ["таблица-событий-нашего-приложения-с-длинным-именем", 'Odd "table"; --', "Ereignis€" * 20]
)
async def test_a_table_may_have_any_name(bench, endpoint, name):
    named = bench.endpoint(endpoint.url.partition("?")[0], table=name)
    async with bench.reader("t", endpoint=named) as (_, reader), adapter.producer(named) as producer:
        await producer.publish("t", b"x")
        await reader.count(1)
    async with connected(endpoint) as session:
        await session.execute(f"DROP TABLE {OutboxTable(named).quoted}")


@pytest.mark.parametrize("name", ["a.b.c", ".a", "a.", "a\0b"])
def test_what_cannot_be_a_table_is_refused_before_anything_connects(name):
    with pytest.raises(UsageError, match=r"option table=.* is not TABLE or SCHEMA\.TABLE"):
        open_endpoint(f"postgresql+outbox://127.0.0.1/db?table={quote(name)}")


async def test_a_schema_that_does_not_exist_and_a_table_with_other_columns_are_named(bench, endpoint):
    nowhere = bench.endpoint(endpoint.url.partition("?")[0], table="nowhere.events")
    with pytest.raises(BrokerError, match='schema "nowhere" does not exist; name one that exists'):
        async with adapter.producer(nowhere):
            pass
    async with connected(endpoint) as session:
        await session.execute("CREATE TABLE of_somebody_else (id bigint, body text)")
        try:
            other = bench.endpoint(endpoint.url.partition("?")[0], table="of_somebody_else")
            with pytest.raises(BrokerError, match=r'column "xid" does not exist.*; it exists with other settings'):
                async with adapter.consumer(other):
                    pass
        finally:
            await session.execute("DROP TABLE of_somebody_else")


async def test_a_user_without_permissions_learns_what_is_missing(modest):
    endpoint, grant = modest
    for side in (adapter.consumer,):
        with pytest.raises(BrokerError, match="permission denied for table") as caught:
            async with side(endpoint):
                pass
        assert caught.value.kind is CauseKind.PERMISSION
    async with adapter.producer(endpoint) as producer:
        with pytest.raises(BrokerError, match="permission denied for table"):
            await producer.publish("t", b"x")
        await grant("INSERT")
        await producer.publish("t", b"x")
        await polled(lambda: "permission denied" in producer.link.notice, "it says that it cannot delete")
        assert "old rows are not deleted" in producer.link.notice


async def test_a_user_who_may_not_create_learns_which_table_is_missing(modest, bench):
    endpoint, _ = modest
    nowhere = bench.endpoint(endpoint.url.partition("?")[0], table="pg_catalog.nowhere")
    with pytest.raises(
        BrokerError, match=r"create table pg_catalog\.nowhere.*permission denied.*created by a user who"
    ):
        async with adapter.producer(nowhere):
            pass
