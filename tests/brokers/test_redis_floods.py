"""Redis answers are limited before memory runs out: endless answers, large entries, and many of them."""

import asyncio
import contextlib

import pytest

from brokers.conformance.workbench import reading
from brokers.contenders import find_contender
from brokers.inbox import CAPACITY_BYTES
from brokers.redis_answers import ANSWER_BYTES
from brokers.registry import open_endpoint

MIB = 1024 * 1024
DEADLINE_S = 60
pytestmark = [pytest.mark.usefixtures("integration"), pytest.mark.slow]


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    with find_contender("valkey").launched(tmp_path_factory.mktemp("valkey")) as broker:
        yield int(broker.url.rpartition(":")[2])


class Relay:
    """A proxy in front of a broker, whose connections send more than the broker did."""

    def __init__(self, port):
        self._port = port
        self._writers = []
        self.sent_bytes = 0

    async def serve(self, reader, writer):
        self._writers.append(writer)
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._port)
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(self._pass(reader, to_writer), self._pass(to_reader, writer))

    async def _pass(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    async def flood(self, head):
        """Send until the other side hangs up, at most 1 GiB."""
        writer, piece = self._writers[-1], b"x" * MIB
        writer.write(head)
        with contextlib.suppress(ConnectionError):
            while self.sent_bytes < 1024 * MIB and not writer.is_closing():
                writer.write(piece)
                await writer.drain()
                self.sent_bytes += len(piece)


@contextlib.asynccontextmanager
async def relayed(scheme, port):
    relay = Relay(port)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    adapter, endpoint = open_endpoint(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        async with adapter.consumer(endpoint) as consumer, reading(consumer) as reader:
            yield relay, consumer, reader
    finally:
        server.close()


async def until(condition):
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("scheme", ["redis", "redis+streams"])
@pytest.mark.parametrize(
    "head",
    [b"*3\r\n$7\r\nmessage\r\n$6\r\nevents\r\n$2147483647\r\n", b"+"],
    ids=["a message of 2 GB", "a line without an end"],
)
async def test_an_endless_answer_costs_the_connection_but_no_memory(port, scheme, head):
    async with relayed(scheme, port) as (relay, consumer, reader):
        await consumer.subscribe("events")
        before = len(relay._writers)
        await relay.flood(head)
        assert relay.sent_bytes < ANSWER_BYTES + 16 * MIB
        await until(lambda: len(relay._writers) > before)
        await until(lambda: reader.gaps)
        assert "connection lost: " in reader.gaps[0].cause


async def test_a_reader_that_is_behind_by_large_entries_holds_a_bound_and_gets_them_all(port):
    adapter, endpoint = open_endpoint(f"redis+streams://127.0.0.1:{port}?stream=behind")
    count = 150
    async with adapter.producer(endpoint) as producer, adapter.consumer(endpoint) as consumer:
        await consumer.subscribe("events")
        for i in range(count):
            await producer.publish("events", b"%04d" % i + bytes(MIB))
        held = consumer.inbox
        await until(lambda: held.full)
        assert held._held_bytes <= CAPACITY_BYTES + MIB
        async with asyncio.timeout(DEADLINE_S):
            got = [int((await anext(held)).payload[:4]) for _ in range(count)]
        assert got == list(range(count))


async def test_an_entry_that_is_too_large_is_reported_and_skipped(port):
    adapter, endpoint = open_endpoint(f"redis+streams://127.0.0.1:{port}?stream=large")
    async with (
        adapter.producer(endpoint) as producer,
        adapter.consumer(endpoint) as consumer,
        reading(consumer) as reader,
    ):
        await consumer.subscribe("events")
        await producer.publish("events", b"before")
        await until(lambda: b"before" in reader.payloads)
        await producer.publish("events", bytes(ANSWER_BYTES))
        await producer.publish("events", b"next")
        await until(lambda: any(gap.lost == 1 for gap in reader.gaps))
        await producer.publish("events", b"behind")
        await until(lambda: b"behind" in reader.payloads)
        assert reader.payloads == [b"before", b"next", b"behind"]
