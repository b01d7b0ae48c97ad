"""A late topic gets its complete history from the reader's memory, and no other topic's history is read again."""

import asyncio
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.endpoint import parse_url
from brokers.inbox import Inbox
from brokers.log_reader import LogReader
from brokers.recent_entries import RecentEntries
from brokers.topic_names import TopicNames

ENDPOINT = parse_url("redis+streams://127.0.0.1:1", "at-least-once")
NAMES = ("a", "b", "c", "d")


class Stream:
    """A stored stream and its reader; an entry's position is also its time."""

    def __init__(self):
        self.entries = []
        self.read = []
        self.inbox = Inbox(10_000)
        self.feed = LogReader(ENDPOINT, self.inbox, 0, self._history, TopicNames(ENDPOINT, 100))

    async def _history(self, since_ns, upto):
        found = [(name, payload) for at, name, payload in self.entries if since_ns <= at <= upto]
        self.read.append(len(found))
        for entry in found:
            await asyncio.sleep(0)
            yield [entry]

    def publish(self, name):
        at = len(self.entries) + 1
        payload = b"%s%d" % (name.encode(), at)
        self.entries.append((at, name, payload))
        assert self.feed.take_now(at, name, payload)

    async def subscribe(self, name, since_ns=0):
        await self.feed.subscribe([name], since_ns)
        await asyncio.gather(*self.feed._tasks)

    def got(self):
        got = defaultdict(list)
        for item in self.inbox._items:
            got[item.topic].append(item.payload)
        return got


steps = st.lists(st.tuples(st.sampled_from(["publish", "subscribe"]), st.sampled_from(NAMES)), max_size=60)


@given(steps, st.integers(20, 400))
@settings(deadline=None)
def test_each_topic_has_all_that_was_published_once_and_in_order(steps, most_bytes):
    async def scene():
        stream, subscribed = Stream(), set()
        for step, name in steps:
            if step == "publish":
                stream.publish(name)
            elif name not in subscribed:
                subscribed.add(name)
                await stream.subscribe(name)
        got = stream.got()
        for name in subscribed:
            assert got[name] == [payload for _, one, payload in stream.entries if one == name]
        await stream.feed.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("brokers.recent_entries.MAX_BYTES", most_bytes)
        asyncio.run(scene())


async def test_from_the_third_topic_on_the_stream_is_not_read_again():
    stream = Stream()
    for name in NAMES:
        for _ in range(5):
            stream.publish(name)
        await stream.subscribe(name)
        stream.publish(name)
    assert len(stream.read) == 2
    assert [len(stream.got()[name]) for name in NAMES] == [6, 6, 6, 6]
    await stream.feed.close()


async def test_kept_entries_are_dropped_when_the_stream_is_replaced():
    stream = Stream()
    for name in NAMES[:3]:
        await stream.subscribe(name)
    assert len(stream.read) == 2
    stream.feed.lost("gone")
    stream.feed.resumed(None)
    await stream.subscribe("d")
    assert len(stream.read) == 3
    await stream.feed.close()


def test_it_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr("brokers.recent_entries.MAX_BYTES", 1_000)
    recent = RecentEntries(0, 1_000)
    for position in range(1, 101):
        recent.add(position, f"t{position}", b"x" * 100)
    assert len(recent) == 10
    assert recent.position == 90
    assert recent.of("t1") == []
    assert recent.of("t100") == [b"x" * 100]
    few = RecentEntries(0, 3)
    for position in range(1, 9):
        few.add(position, "t", b"%d" % position)
    assert (few.position, few.of("t")) == (5, [b"6", b"7", b"8"])
