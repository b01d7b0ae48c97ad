"""Each topic is confirmed or refused separately, whatever the broker does with the rest of a batch."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from brokers.api import Gap
from brokers.connection import Calls, ProducerConnection
from brokers.consumer_connection import ConsumerConnection
from brokers.endpoint import parse_url
from brokers.errors import BrokerError, CauseKind, Refusal, TopicRefusedError
from brokers.inbox import Inbox
from brokers.reconnect import keep_up
from brokers.topic_names import TopicNames

ENDPOINT = replace(parse_url("made-up://user:hunter2@h", "at-most-once"), timeout_s=5.0)
DEADLINE_S = 20


class LibraryError(Exception):
    """The error of a client library."""


class Connection:
    """A connection that can be lost."""

    def __init__(self):
        self.lost = asyncio.Event()


class Broker:
    """Refuses `forbidden` for a whole command at once, and answers `deadly` by closing the connection."""

    def __init__(self, forbidden=(), deadly=(), silent=()):
        self.forbidden, self.deadly, self.silent = set(forbidden), set(deadly), set(silent)
        self.connections = []
        self.asked = []

    async def dial(self, endpoint):
        await asyncio.sleep(0)
        self.connections.append(Connection())
        return self.connections[-1]

    async def serve(self, connection):
        await connection.lost.wait()
        raise LibraryError("connection lost")

    async def hang_up(self, connection):
        await asyncio.sleep(0)

    async def send(self, connection, names):
        self.asked.append(list(names))
        await asyncio.sleep(0)
        if self.silent & {*names}:
            await asyncio.sleep(60)
        if self.deadly & {*names}:
            connection.lost.set()
        if connection.lost.is_set():
            raise LibraryError("connection lost")
        if self.forbidden & {*names}:
            raise LibraryError("no permission, says hunter2")
        return {}

    def kind_of(self, error):
        if not isinstance(error, LibraryError):
            return None
        return CauseKind.LOST if "lost" in str(error) else CauseKind.PERMISSION

    @property
    def calls(self):
        return Calls(self.dial, self.serve, self.hang_up, (LibraryError,), self.kind_of)


@asynccontextmanager
async def connected(broker, endpoint=ENDPOINT):
    inbox = Inbox(100)
    line = ConsumerConnection(endpoint, inbox, broker.calls, broker.send, TopicNames(endpoint, 20))
    async with keep_up(endpoint, line), asyncio.timeout(DEADLINE_S):
        yield line


def kinds(refused):
    return {topic: refusal.kind for topic, refusal in refused.items()}


async def test_a_batch_that_the_broker_refuses_as_a_whole_is_requested_in_parts():
    broker = Broker(forbidden={"theirs", "others"})
    async with connected(broker) as line:
        names = [f"room-{i}" for i in range(20)]
        refused = await line.subscribe([*names[:7], "theirs", *names[7:], "others"])
        assert kinds(refused) == {"theirs": "forbidden", "others": "forbidden"}
        assert refused["theirs"].reason == "no permission, says ***"
        assert sorted(line.topics) == sorted(names)
        assert len(broker.asked) < 22, "as few questions as may be"


async def test_an_unnameable_topic_is_never_sent():
    broker = Broker()
    async with connected(broker) as line:
        bad = ["x" * 21, "ü" * 11, "", "\ud800", 7]
        refused = await line.subscribe([*bad, "good"])
        assert kinds(refused) == dict.fromkeys(bad, "invalid")
        assert "22 bytes of UTF-8, but the longest allowed name has 20" in refused["ü" * 11].reason
        assert broker.asked == [["good"]]
        assert line.forget([*bad, "good"]) == ["good"]


@pytest.mark.slow
async def test_a_topic_that_costs_the_connection_is_refused_and_the_others_of_the_batch_are_not():
    broker = Broker(deadly={"poison"})
    async with connected(broker) as line:
        names = [f"room-{i}" for i in range(20)]
        refused = await line.subscribe([*names[:7], "poison", *names[7:]])
        assert kinds(refused) == {"poison": "invalid"}
        assert "connection was lost at each request" in refused["poison"].reason
        assert sorted(line.topics) == sorted(names)


async def test_callers_that_overlap_with_one_whose_topic_costs_the_connection_are_confirmed():
    broker = Broker(deadly={"poison"})
    async with connected(broker) as line:
        names = [f"room-{i}" for i in range(20)]
        answers = await asyncio.gather(*[line.subscribe([name]) for name in [*names[:7], "poison", *names[7:]]])
        assert [kinds(answer) for answer in answers if answer] == [{"poison": "invalid"}]
        assert sorted(line.topics) == sorted(names)


async def test_a_refused_topic_is_never_requested_again():
    broker = Broker(forbidden={"theirs"})
    async with connected(broker) as line:
        await line.subscribe(["ours", "theirs"])
        broker.asked.clear()
        broker.connections[-1].lost.set()
        await line.inbox.__anext__()
        assert broker.asked == [["ours"]]


async def test_a_topic_no_longer_allowed_after_a_reconnect_gets_its_own_gap():
    broker = Broker()
    async with connected(broker) as line:
        await line.subscribe(["ours", "theirs"])
        broker.forbidden = {"theirs"}
        broker.connections[-1].lost.set()
        gaps = [await line.inbox.__anext__() for _ in range(2)]
        assert [gap.topic for gap in gaps] == [None, "theirs"]
        assert gaps[1] == Gap("forbidden: no permission, says ***", None, "theirs")
        assert list(line.topics) == ["ours"]


async def test_a_silent_broker_is_an_error_and_nothing_is_subscribed():
    broker = Broker(silent={"quiet"})
    async with connected(broker, replace(ENDPOINT, timeout_s=0.2)) as line:
        await line.subscribe(["ours"])
        with pytest.raises(BrokerError, match="cannot subscribe 'new': no answer") as caught:
            await line.subscribe(["new", "quiet", "ours"])
        assert caught.value.kind is CauseKind.SILENT
        assert list(line.topics) == ["ours"]


@asynccontextmanager
async def producing(broker):
    line = ProducerConnection(ENDPOINT, broker.calls, TopicNames(ENDPOINT, 20))
    async with keep_up(ENDPOINT, line), asyncio.timeout(DEADLINE_S):
        yield line


async def test_the_error_of_a_publish_says_what_kind_it_is():
    async with producing(Broker()) as line:
        refused = line.failed("theirs", LibraryError("no permission, says hunter2"))
        assert isinstance(refused, TopicRefusedError)
        assert refused.refusal == Refusal("forbidden", "no permission, says ***")
        assert (refused.topic, line.link.connected) == ("theirs", True)
        with pytest.raises(TopicRefusedError, match="cannot publish on '': invalid"):
            line.name_of("")


async def test_an_answer_not_here_any_more_makes_it_dial_again():
    broker = Broker()
    async with producing(broker) as line:
        error = line.failed("t", LibraryError("connection lost: READONLY"))
        assert error.kind is CauseKind.LOST
        await line.link.changed()
        assert not line.link.connected
        await line.link.changed()
        assert len(broker.connections) == 2
