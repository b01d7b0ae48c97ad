"""From a consumer to the clients: what one read of the broker's connection brought is sent before it returns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from brokers.api import Gap
from brokers.endpoint import parse_url
from brokers.inbox import Inbox
from server.hub import Hub
from server.reading import read_into
from tests.server.made_up import ConnectionWriter, connect, event, make_hub, turns

ENDPOINT = parse_url("madeup://host", "at-most-once")


class Read:
    """A consumer of which only the inbox is read."""

    def __init__(self, *, tells_end: bool = True) -> None:
        self.inbox = Inbox(tells_end=tells_end)

    def __aiter__(self) -> Inbox:
        return self.inbox

    def brings(self, *seqs: int) -> None:
        """One read of the connection."""
        for seq in seqs:
            self.inbox.put("t", event("s", seq))
        self.inbox.end_read()


@asynccontextmanager
async def reading(hub: Hub, consumer: Read) -> AsyncIterator[None]:
    task = asyncio.create_task(read_into(hub, consumer, ENDPOINT))  # type: ignore[arg-type]
    await turns()
    yield
    task.cancel()
    await asyncio.wait([task])


async def test_a_read_is_sent_as_one_write_before_it_returns() -> None:
    hub, consumer = make_hub(), Read()
    writer = ConnectionWriter(hub)
    connect(hub, writer)
    async with reading(hub, consumer):
        writes = len(writer.writes)
        consumer.brings(0, 1, 2)
        assert writer.ids == ["s-0", "s-1", "s-2"]
        assert len(writer.writes) == writes + 1
        consumer.brings(3)
        assert writer.ids[-1] == "s-3"


async def test_a_gap_keeps_its_place_between_reads() -> None:
    hub, consumer = make_hub(), Read()
    writer = ConnectionWriter(hub)
    connect(hub, writer)
    async with reading(hub, consumer):
        consumer.brings(0)
        consumer.inbox.hold()
        consumer.brings(1)
        consumer.inbox.release(Gap("connection lost: gone", None))
        consumer.brings(2)
        assert writer.ids == ["s-0"]
        await turns()
    assert [one.id if one.event == "message" else one.event for one in writer.events] == ["s-0", "gap", "s-1", "s-2"]


async def test_after_the_reading_nothing_reaches_the_hub() -> None:
    hub, consumer = make_hub(), Read()
    writer = ConnectionWriter(hub)
    connect(hub, writer)
    async with reading(hub, consumer):
        consumer.brings(0)
    consumer.brings(1)
    await turns()
    assert writer.ids == ["s-0"]


async def test_an_adapter_that_does_not_report_the_end_of_a_read_is_read_in_batches() -> None:
    hub, consumer = make_hub(), Read(tells_end=False)
    writer = ConnectionWriter(hub)
    connect(hub, writer)
    async with reading(hub, consumer):
        consumer.brings(0, 1)
        await turns()
    assert writer.ids == ["s-0", "s-1"]
