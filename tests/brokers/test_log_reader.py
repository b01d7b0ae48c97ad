"""The feed of stored streams: a topic's history comes before its live events, and no other topic waits for it."""

import asyncio

import pytest

from brokers.api import Gap, Message
from brokers.endpoint import parse_url
from brokers.errors import BrokerError
from brokers.inbox import Inbox
from brokers.log_reader import LogReader
from brokers.topic_names import TopicNames

ENDPOINT = parse_url("redis+streams://127.0.0.1:1", "at-least-once")
DEADLINE_S = 5


class Past:
    """A history that arrives when the test allows it."""

    def __init__(self, *batches):
        self._batches = batches
        self.may_go = asyncio.Event()
        self.asked = []

    async def read(self, since_ns, upto):
        self.asked.append((since_ns, upto))
        for i, batch in enumerate(self._batches):
            if i:
                await self.may_go.wait()
            if isinstance(batch, Exception):
                raise batch
            yield batch


def feed_of(past, capacity=100):
    return LogReader(ENDPOINT, Inbox(capacity), 0, past.read, TopicNames(ENDPOINT, 100))


async def drained(feed):
    await feed.close()
    return [item if isinstance(item, Gap) else item.payload for item in feed.inbox._items]


async def take(feed, *entries):
    async with asyncio.timeout(DEADLINE_S):
        for position, name, payload in entries:
            await feed.take(position, name, payload)


async def joined(feed):
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*feed._tasks)


async def test_other_topics_continue_while_a_history_arrives():
    past = Past([("old", b"1")], [("old", b"2"), ("live", b"not mine")])
    feed = feed_of(past)
    await feed.subscribe(["live"], None)
    await take(feed, (5, "live", b"before"))
    await feed.subscribe(["old"], 7)
    await take(feed, (6, "old", b"3"), (7, "live", b"meanwhile"), (8, "old", b"4"))
    assert Message("live", b"meanwhile") in feed.inbox._items
    past.may_go.set()
    await joined(feed)
    await take(feed, (9, "old", b"5"))
    assert past.asked == [(7, 5)]  # entries that are live from there on are not read twice
    assert await drained(feed) == [b"before", b"1", b"meanwhile", b"2", b"3", b"4", b"5"]


async def test_entries_kept_for_a_joining_topic_are_bounded(monkeypatch):
    monkeypatch.setattr("brokers.log_reader.DEFAULT_CAPACITY", 2)
    past = Past([], [("old", b"1")])
    feed = feed_of(past)
    await feed.subscribe(["old"], 7)
    assert feed.take_now(1, "old", b"2")
    assert feed.take_now(2, "old", b"3")
    assert not feed.take_now(3, "old", b"4")
    assert feed.position == 2
    reader = asyncio.create_task(take(feed, (3, "old", b"4"), (4, "old", b"5")))
    past.may_go.set()
    await joined(feed)
    await reader
    assert await drained(feed) == [b"1", b"2", b"3", b"4", b"5"]


async def test_a_full_buffer_makes_the_history_wait():
    past = Past([("old", b"1"), ("old", b"2"), ("old", b"3")])
    feed = feed_of(past, capacity=2)
    await feed.subscribe(["old"], 7)
    assert feed.take_now(1, "old", b"4")
    async with asyncio.timeout(DEADLINE_S):
        assert [(await anext(feed.inbox)).payload for _ in range(4)] == [b"1", b"2", b"3", b"4"]


async def test_a_topic_left_during_its_history_stays_left():
    past = Past([("old", b"1")], [("old", b"2"), ("too", b"x")])
    feed = feed_of(past)
    await feed.subscribe(["old", "too"], 7)
    await take(feed, (1, "old", b"3"))
    feed.unsubscribe(["old"])
    past.may_go.set()
    await joined(feed)
    await take(feed, (2, "old", b"4"), (3, "too", b"y"))
    assert await drained(feed) == [b"x", b"y"]


async def test_an_interrupted_history_is_a_gap_before_live_entries():
    past = Past([("old", b"1")], OSError("gone"))
    feed = feed_of(past)
    await feed.subscribe(["old"], 7)
    await take(feed, (1, "old", b"2"))
    past.may_go.set()
    await joined(feed)
    assert await drained(feed) == [b"1", Gap("replay interrupted: gone", None, "old"), b"2"]


async def test_a_history_that_cannot_be_read_leaves_nothing_behind():
    feed = feed_of(Past(OSError("gone")))
    with pytest.raises(BrokerError, match="gone"):
        await feed.subscribe(["old"], 7)
    await take(feed, (1, "old", b"1"))
    assert await drained(feed) == []


async def test_histories_come_side_by_side():
    past = Past([("a", b"1"), ("b", b"1")], [("a", b"2"), ("b", b"2")])
    feed = feed_of(past)
    await feed.subscribe(["a"], 7)
    await take(feed, (1, "a", b"3"), (2, "b", b"before"))
    async with asyncio.timeout(DEADLINE_S):
        await feed.subscribe(["b"], 8)  # the first one's history has not ended
    await take(feed, (3, "b", b"3"))
    past.may_go.set()
    await joined(feed)
    assert past.asked == [(7, 0), (8, 2)]
    items = [(item.topic, item.payload) for item in feed.inbox._items]
    for topic in ("a", "b"):
        assert [payload for name, payload in items if name == topic] == [b"1", b"2", b"3"]
    await feed.close()


async def test_leaving_during_the_replay_ends_it_and_the_reader_continues(monkeypatch):
    monkeypatch.setattr("brokers.log_reader.DEFAULT_CAPACITY", 1)
    past = Past([], [("old", b"1")], OSError("read on although nobody waits"))
    feed = feed_of(past)
    await feed.subscribe(["live"], None)
    await feed.subscribe(["old"], 7)
    reader = asyncio.create_task(take(feed, (1, "old", b"2"), (2, "old", b"3"), (3, "live", b"4")))
    await asyncio.sleep(0)
    assert feed.position == 1
    feed.unsubscribe(["old"])
    await reader
    past.may_go.set()
    await joined(feed)
    assert await drained(feed) == [b"4"]


async def test_losses_while_all_topics_join_are_reported_in_their_place():
    past = Past([("old", b"1")], [])
    feed = feed_of(past)
    await feed.subscribe(["old"], 7)
    await take(feed, (1, "old", b"2"))
    feed.trimmed(3)
    await take(feed, (5, "old", b"3"))
    past.may_go.set()
    await joined(feed)
    assert await drained(feed) == [
        b"1",
        b"2",
        Gap("trimmed: the broker dropped entries before they were read", 3),
        b"3",
    ]


async def test_live_entries_go_straight_to_the_reader_and_a_history_waits_for_it():
    inbox, got, ends = Inbox(100, tells_end=True), [], []
    feed = LogReader(ENDPOINT, inbox, 0, Past([("old", b"1")]).read, TopicNames(ENDPOINT, 100))
    inbox.pass_on(lambda topic, payload: got.append(payload), lambda: ends.append(len(got)))
    await feed.subscribe(["live"], None)
    assert feed.take_now(1, "live", b"a")
    inbox.end_read()
    await take(feed, (2, "live", b"b"))
    assert (got, ends) == ([b"a", b"b"], [1, 2])
    await feed.subscribe(["old"], 0)
    await joined(feed)
    await take(feed, (3, "old", b"2"))
    assert (got, ends) == ([b"a", b"b"], [1, 2])
    assert await drained(feed) == [b"1", b"2"]
