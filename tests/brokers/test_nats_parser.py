"""Plain messages give the same result past nats-py's parser as through it, wherever the bytes are cut."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.protocol.parser import Parser

from brokers.nats_parser import SinkParser

OTHERS = [b"PING\r\n", b"+OK\r\n", b"-ERR 'Permissions Violation for Subscription to \"x\"'\r\n", b"PONG\r\n"]


class Client:
    """The parser's calls, in order."""

    def __init__(self):
        self.seen = []

    async def _process_msg(self, sid, subject, reply, data, headers):
        self.seen.append((sid, bytes(subject), bytes(reply), bytes(data), headers))

    def sink(self, sid):
        return lambda *message: self.seen.append((sid, *message, None))

    async def _process_ping(self):
        self.seen.append("ping")

    async def _process_pong(self):
        self.seen.append("pong")

    async def _process_err(self, words):
        self.seen.append(words)


def encode(item):
    if isinstance(item, bytes):
        return item
    sid, reply, payload = item
    return b"MSG a.b %d %b%d\r\n%b\r\n" % (sid, b"_INBOX.1 " if reply else b"", len(payload), payload)


ITEMS = st.one_of(
    st.sampled_from(OTHERS),
    st.tuples(st.integers(1, 3), st.booleans(), st.sampled_from([b"", b"x", b"\r\n", b"MSG a 1 1\r\ny", b"z" * 300])),
)


@given(items=st.lists(ITEMS, max_size=12), cuts=st.lists(st.integers(1, 60), max_size=40))
@pytest.mark.slow
def test_everything_is_seen_in_order_wherever_it_is_cut(items, cuts):
    async def through(parser):
        stream = b"".join(map(encode, items))
        for size in cuts:
            await parser.parse(stream[:size])
            stream = stream[size:]
        await parser.parse(stream)

    plain, fast = Client(), Client()
    parser = SinkParser(fast)
    for sid in (1, 2):  # the third has no sink
        parser.sinks[b"%d" % sid] = fast.sink(sid)
    asyncio.run(through(Parser(plain)))
    asyncio.run(through(parser))
    assert fast.seen == plain.seen


@given(items=st.lists(ITEMS, max_size=12), cuts=st.lists(st.tuples(st.integers(1, 60), st.integers(0, 3)), max_size=40))
@pytest.mark.slow
def test_messages_taken_on_arrival_keep_their_order(items, cuts):
    """`turns` of the event loop lie between two arrivals, in which nats-py's task may have read the one before."""

    class Slow(Client):
        async def _process_ping(self):
            await asyncio.sleep(0)
            await super()._process_ping()

    async def arrives(parser, watch):
        reader = asyncio.StreamReader()
        if watch:
            parser.watch(reader)

        async def read():
            while not reader.at_eof():
                await parser.parse(await reader.read(1_000))

        reading = asyncio.create_task(read())
        stream = b"".join(map(encode, items))
        for size, turns in [*cuts, (len(stream), 0)]:
            if stream:
                reader.feed_data(stream[:size])
            stream = stream[size:]
            for _ in range(turns):
                await asyncio.sleep(0)
        reader.feed_eof()
        await asyncio.wait_for(reading, 20)

    plain, fast = Slow(), Slow()
    parser = SinkParser(fast)
    for sid in (1, 2):  # the third has no sink
        parser.sinks[b"%d" % sid] = fast.sink(sid)
    asyncio.run(arrives(Parser(plain), watch=False))
    asyncio.run(arrives(parser, watch=True))
    assert fast.seen == plain.seen
