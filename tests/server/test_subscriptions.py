"""The link to the broker, with an adapter that the test controls."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from brokers.api import Gap, Message
from brokers.endpoint import Endpoint, parse_url
from brokers.errors import BrokerError, CauseKind, Refusal, TopicRefusedError
from brokers.link import Link
from core.contracts.measures import PhaseCounts
from server.subscription_settings import SubscriptionSettings, TooManyTopicsError
from server.subscriptions import Subscriptions
from server.topic import Topic
from tests.server.made_up import ConnectionWriter, connect, event, make_hub, turns

DEADLINE_S = 10


class Broker:
    """An adapter, its only consumer, and the broker behind it."""

    name = "made up"
    schemes = ("madeup",)
    deliveries = ("at-most-once",)
    max_topic_bytes = 1_000
    options = ()

    def __init__(self, *, replay: bool = False) -> None:
        self.replay = replay
        self.stored: list[Message] = []
        self.calls: list[tuple[str, tuple[str, ...], int | None]] = []
        self.refuse: BrokerError | None = None
        self.refused: dict[str, Refusal] = {}
        self.link = Link(ENDPOINT, connected=True)
        self.starts = 0
        self.items: asyncio.Queue[Message | Gap | None] = asyncio.Queue()

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        self.calls.append(("subscribe", topics, since_ns))
        await asyncio.sleep(0)
        if self.refuse is not None:
            raise self.refuse
        if since_ns is not None:
            for message in self.stored:
                if message.topic in topics:
                    self.items.put_nowait(message)
        return {topic: self.refused[topic] for topic in topics if topic in self.refused}

    async def unsubscribe(self, *topics: str) -> None:
        self.calls.append(("unsubscribe", topics, None))

    async def __aiter__(self) -> AsyncIterator[Message | Gap]:
        while (item := await self.items.get()) is not None:
            yield item

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator["Broker"]:
        self.starts += 1
        yield self

    def named(self, action: str) -> list[str]:
        return sorted(topic for call, topics, _ in self.calls if call == action for topic in topics)


ENDPOINT = parse_url("madeup://user:sekret@host", "at-most-once")
DOWN = BrokerError(ENDPOINT, "subscribe", "no answer", CauseKind.SILENT)


@asynccontextmanager
async def linked(
    broker: Broker,
    *,
    preset: tuple[str, ...] = ("events",),
    max_topics: int = 100,
    linger_s: float = 1000,
    grace_s: float = 60.0,
) -> AsyncIterator[Subscriptions]:
    hub = make_hub([])
    settings = SubscriptionSettings(preset, max_topics, linger_s, 60.0, grace_s)
    link = Subscriptions(hub, broker, ENDPOINT, settings)  # type: ignore[arg-type]
    task = asyncio.create_task(link.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            await link.filled.wait()
            yield link
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(probe: object, what: str) -> None:
    for _ in range(1000):
        if probe():  # type: ignore[operator]
            return
        await asyncio.sleep(0.005)
    raise AssertionError(what)


async def test_the_topics_of_the_settings_are_subscribed_before_it_is_ready() -> None:
    broker = Broker()
    async with linked(broker, preset=("a", "b")) as link:
        assert broker.named("subscribe") == ["a", "b"]
        assert sorted(link._hub.topics) == ["a", "b"]


async def test_a_topic_is_subscribed_once_with_its_first_client() -> None:
    broker = Broker()
    async with linked(broker) as link:
        held = await asyncio.gather(*(link.require(["new", "events"]) for _ in range(50)))
        assert broker.named("subscribe") == ["events", "new"]
        assert link._hub.topics["new"].users == 50
        for topics in held:
            link.release(topics)
        assert link._hub.topics["new"].users == 0


async def test_a_topic_is_dropped_after_its_last_client_unless_the_settings_name_it() -> None:
    broker = Broker()
    async with linked(broker, linger_s=0) as link:
        topics = await link.require(["new"])
        link.tick()
        await turns()
        assert broker.named("unsubscribe") == []
        link.release(topics)
        link.tick()
        await until(lambda: broker.named("unsubscribe"), "unsubscribed")
        assert broker.named("unsubscribe") == ["new"]
        assert sorted(link._hub.topics) == ["events"]
        again = await link.require(["new", "events"])
        assert broker.named("subscribe") == ["events", "new", "new"]
        link.release(again)


async def test_a_topic_wanted_again_while_it_lingers_keeps_its_history() -> None:
    broker = Broker()
    async with linked(broker, linger_s=1000) as link:
        link.release(await link.require(["new"]))
        broker.items.put_nowait(Message("new", event("s", 0, "new")))
        await turns()
        link.tick()
        await link.require(["new"])
        assert len(link._hub.topics["new"].history) == 1
        assert broker.named("unsubscribe") == []


async def test_a_failed_subscription_is_reported_and_retried_for_the_next_client() -> None:
    broker = Broker()
    async with linked(broker) as link:
        broker.refuse = DOWN
        results = await asyncio.gather(*(link.require(["new"]) for _ in range(3)), return_exceptions=True)
        assert [str(result) for result in results] == [str(DOWN)] * 3
        assert "sekret" not in str(results)
        assert "new" not in link._hub.topics
        broker.refuse = None
        (topic,) = await link.require(["new"])
        assert topic.users == 1


async def test_one_topic_too_many() -> None:
    broker = Broker()
    async with linked(broker, max_topics=2, linger_s=0) as link:
        topics = await link.require(["a"])
        with pytest.raises(TooManyTopicsError, match="limit is 2"):
            await link.require(["a", "b"])
        assert topics[0].users == 1
        link.release(topics)


async def test_a_broker_that_refuses_at_the_start_ends_the_link() -> None:
    broker = Broker()
    broker.refuse = DOWN
    link = Subscriptions(make_hub([]), broker, ENDPOINT, SubscriptionSettings(("events",), 10, 0, 0, 0))  # type: ignore[arg-type]
    with pytest.raises(BrokerError, match="cannot subscribe"):
        await asyncio.wait_for(link.run(), DEADLINE_S)


async def test_history_is_filled_from_a_broker_that_stores_before_anybody_joins() -> None:
    broker = Broker(replay=True)
    broker.stored = [Message("events", event("s", seq, "events", sent_ns=seq)) for seq in range(5)]
    broker.stored += [Message("new", event("s", seq, "new", sent_ns=seq)) for seq in range(3)]
    async with linked(broker) as link:
        hub = link._hub
        assert len(hub.topics["events"].history) == 5
        writer, fresh = ConnectionWriter(hub), ConnectionWriter(hub)
        connect(hub, writer, ["events"], ["s-2"])
        await link.require(["new"])
        connect(hub, fresh, ["new"])
        broker.items.put_nowait(Message("new", event("s", 3, "new")))
        await turns()
        assert writer.ids == ["s-3", "s-4"]
        assert fresh.ids == ["s-3"], "what was stored is not new"
        ages = [since_ns for _, _, since_ns in broker.calls]
        assert all(since_ns is not None and since_ns > 10**18 for since_ns in ages)


async def test_a_consumer_that_ends_is_restarted_and_clients_get_a_gap() -> None:
    broker = Broker()
    async with linked(broker) as link:
        await link.require(["new"])
        writer = ConnectionWriter(link._hub)
        connect(link._hub, writer, ["new"])
        broker.items.put_nowait(None)
        await until(lambda: broker.named("subscribe") == ["events", "events", "new", "new"], "subscribed again")
        broker.items.put_nowait(Message("new", event("s", 0, "new")))
        broker.items.put_nowait(Gap("overflow", 7, "new"))
        await until(lambda: len(writer.gaps) == 2, "gaps reported")
        assert writer.ids == ["s-0"]
        assert broker.starts == 2
        assert "sekret" not in str(writer.taken)


async def test_messages_of_a_dropped_topic_reach_nobody() -> None:
    broker = Broker()
    async with linked(broker) as link:
        broker.items.put_nowait(Message("unknown", event("s", 0, "unknown")))
        broker.items.put_nowait(Message("events", event("s", 0, "events")))
        await until(lambda: link._hub.ledger.received, "received")
        assert link._hub.ledger.received_by_stream() == {"s": {"events": PhaseCounts(warmup=0, measure=1)}}


FORBIDDEN = Refusal("forbidden", "no permission, says sekret")
INVALID = Refusal("invalid", "too long")


async def test_only_the_caller_of_a_refused_topic_fails_and_the_batch_continues() -> None:
    broker = Broker()
    broker.refused = {"theirs": FORBIDDEN, "long": INVALID}
    async with linked(broker) as link:
        names = [*(f"room-{i}" for i in range(20)), "theirs", "long"]
        results = await asyncio.gather(*(link.require([name]) for name in names), return_exceptions=True)
        assert [isinstance(result, BaseException) for result in results] == [False] * 20 + [True] * 2
        for result, refusal in zip(results[20:], (FORBIDDEN, INVALID), strict=True):
            assert isinstance(result, TopicRefusedError)
            assert result.refusal.kind == refusal.kind
        assert "theirs" not in link._hub.topics


async def test_a_refusal_is_remembered_for_a_while_so_that_nobody_can_hammer_the_broker() -> None:
    broker = Broker()
    broker.refused = {"theirs": FORBIDDEN}
    async with linked(broker) as link:
        for _ in range(50):
            with pytest.raises(TopicRefusedError):
                await link.require(["events", "theirs"])
        assert broker.named("subscribe").count("theirs") == 1
        broker.refused = {}
        link._refused._loop = Later(link._loop)
        (topic,) = await link.require(["theirs"])
        assert topic.users == 1


class Later:
    """An event loop's clock, an hour ahead."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._real = loop

    def time(self) -> float:
        return self._real.time() + 3600


async def test_a_topic_of_the_settings_that_is_refused_ends_the_link() -> None:
    broker = Broker()
    broker.refused = {"events": FORBIDDEN}
    link = Subscriptions(make_hub([]), broker, ENDPOINT, SubscriptionSettings(("events",), 10, 0, 0, 0))  # type: ignore[arg-type]
    with pytest.raises(TopicRefusedError, match="forbidden: no permission"):
        await asyncio.wait_for(link.run(), DEADLINE_S)


async def test_a_topic_refused_after_a_restart_of_the_consumer_gives_its_clients_a_gap() -> None:
    broker = Broker()
    async with linked(broker) as link:
        await link.require(["new"])
        writer, other = ConnectionWriter(link._hub), ConnectionWriter(link._hub)
        connect(link._hub, writer, ["new"])
        connect(link._hub, other, ["events"])
        broker.refused = {"new": FORBIDDEN}
        broker.items.put_nowait(None)
        await until(lambda: len(writer.gaps) == 2, "the lost connection and the refusal")
        assert "forbidden" in writer.gaps[1]
        assert len(other.gaps) == 1


async def test_topics_with_clients_are_requested_until_the_broker_confirms() -> None:
    broker = Broker()
    async with linked(broker) as link:
        await link.require(["new"])
        broker.refuse = DOWN
        broker.items.put_nowait(None)
        await until(lambda: broker.starts > 2, "restarted again")
        broker.refuse = None
        broker.items.put_nowait(Message("new", event("s", 0, "new")))
        await until(lambda: link._hub.ledger.received, "received")


async def test_readiness_follows_the_link_after_a_grace() -> None:
    broker = Broker()
    async with linked(broker, grace_s=60.0) as patient, linked(broker, grace_s=0.0) as hasty:
        await until(lambda: hasty.ready and patient.ready, "ready")
        broker.link.went_down("no route to host")
        await until(lambda: not (hasty.ready or patient.broker.connected), "not ready without a grace")
        assert patient.ready
        assert hasty.broker.cause == "no route to host"
        broker.link.came_up()
        await until(lambda: hasty.ready and patient.broker.connected, "ready again")


async def test_a_client_whose_place_is_known_does_not_wait_for_the_rest_of_the_history() -> None:
    broker = Broker(replay=True)
    async with linked(broker) as link:
        hub = link._hub

        def has_three(topics: Sequence[Topic]) -> bool:
            return len(topics[0].history) >= 3

        waiting = asyncio.create_task(link.require(["new"], has_three))
        await until(lambda: "new" in hub.topics and hub.topics["new"].filling, "history comes")
        hub.accept("new", event("s", 0, topic="new"))
        hub.accept("new", event("s", 1, topic="new"))
        await turns()
        assert not waiting.done()
        hub.accept("new", event("s", 2, topic="new"))
        (topic,) = await waiting
        assert topic.filling, "more may come"
        at_once = await asyncio.gather(*(link.require(["new"], lambda _: True) for _ in range(3)))
        assert at_once == [[topic]] * 3
        (again,) = await link.require(["new"])
        assert not again.filling, "who did not say what is enough waits for all"


@pytest.mark.slow
async def test_many_waiting_clients_poll_no_more_often_than_few() -> None:
    broker = Broker(replay=True)
    async with linked(broker) as link:
        clients, looks = 4000, 0

        def never(_: Sequence[Topic]) -> bool:
            nonlocal looks
            looks += 1
            return False

        waiting = [asyncio.create_task(link.require(["new"], never)) for _ in range(clients)]
        await until(lambda: "new" in link._hub.topics and link._hub.topics["new"].filling, "history comes")
        hub, seq = link._hub, 0
        while looks < 2 * clients:  # while it arrives, nobody is admitted
            hub.accept("new", event("s", seq, topic="new"))
            seq += 1
            await asyncio.sleep(0.01)
        assert seq > 15, "the more there are, the later each looks again"
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_refused_topic_also_fails_clients_that_do_not_wait_for_history() -> None:
    broker = Broker(replay=True)
    async with linked(broker) as link:
        broker.refuse = DOWN
        with pytest.raises(BrokerError, match="no answer"):
            await link.require(["new"], lambda _: True)
        assert set(link._hub.topics) == {"events"}
