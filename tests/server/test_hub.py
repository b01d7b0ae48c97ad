"""The hub without connections: who gets what, what is counted, and what happens to slow clients."""

import asyncio
import json
import logging
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.contracts.measures import PhaseCounts
from core.stamp import Stamp, encode
from server.client import State
from server.frame import HEARTBEATS, Wire
from server.heartbeat import Heartbeats
from server.history import HistoryBound
from server.ledger import MAX_PAIRS, Ledger
from server.stop import end_by_and_by
from server.validation import EventValidator
from tests.server.made_up import ConnectionWriter, connect, event, make_hub, turns

BEAT = HEARTBEATS[Wire.PLAIN]


async def test_each_client_gets_the_events_of_its_topics_once() -> None:
    hub = make_hub(["a", "b"])
    writers = {topics: ConnectionWriter(hub) for topics in (("a",), ("b",), ("a", "b"))}
    for topics, writer in writers.items():
        connect(hub, writer, topics)
    for seq in range(3):
        hub.accept("a", event("s", seq, "a"))
        hub.accept("b", event("u", seq, "b"))
    await turns()
    assert writers["a",].ids == ["s-0", "s-1", "s-2"]
    assert writers["b",].ids == ["u-0", "u-1", "u-2"]
    assert sorted(writers["a", "b"].ids) == ["s-0", "s-1", "s-2", "u-0", "u-1", "u-2"]
    assert hub.ledger.written == 12
    assert hub.topic_clients() == {"a": 2, "b": 2}
    assert hub.ledger.received_by_stream() == {
        "s": {"a": PhaseCounts(warmup=0, measure=3)},
        "u": {"b": PhaseCounts(warmup=0, measure=3)},
    }


async def test_events_of_one_turn_are_sent_in_one_write() -> None:
    hub = make_hub()
    writer = ConnectionWriter(hub)
    connect(hub, writer)
    writes = writer.writes
    writes.clear()
    for seq in range(5):
        hub.accept("t", event("s", seq))
    assert writes == []
    await turns()
    assert len(writes) == 1
    assert writes[0].count(b"\n\n") == 5
    for seq in range(5, 500):
        hub.accept("t", event("s", seq, pad="x" * 800))
    assert len(writes) > 3, "a burst must not wait for the end of the turn"


async def test_one_that_joins_in_the_middle_of_a_turn_gets_nothing_twice() -> None:
    hub = make_hub()
    hub.accept("t", event("s", 0))
    resumed, fresh = ConnectionWriter(hub), ConnectionWriter(hub)
    hub.accept("t", event("s", 1))
    connect(hub, resumed, ids=["s-0"])
    connect(hub, fresh)
    hub.accept("t", event("s", 2))
    await turns()
    hub.accept("t", event("s", 3))
    await turns()
    assert resumed.ids == ["s-1", "s-2", "s-3"]
    assert fresh.ids == ["s-2", "s-3"]


@given(published=st.integers(0, 700), last=st.integers(0, 700), live=st.integers(0, 50), topics=st.integers(1, 3))
@settings(deadline=None, max_examples=40)
def test_replay_continues_into_live_events(published: int, last: int, live: int, topics: int) -> None:
    async def scene() -> None:
        names = [f"t{i}" for i in range(topics)]
        hub = make_hub(names)
        for seq in range(published):
            for name in names:
                hub.accept(name, event("s", seq, name))
        writer = ConnectionWriter(hub)
        connect(hub, writer, names, [f"{name}:s-{last}" for name in names])
        for seq in range(published, published + live):
            for name in names:
                hub.accept(name, event("s", seq, name))
            await asyncio.sleep(0)
        await turns(30)
        for name in names:
            messages = [json.loads(e.data) for e in writer.events if e.event == "message"]
            got = [fields["seq"] for fields in messages if fields["topic"] == name]
            if published and last < published + live:
                assert got == list(range(last + 1, published + live))
        assert writer.live

    asyncio.run(scene())


async def test_a_slow_client_is_dropped_and_the_others_continue() -> None:
    hub = make_hub()
    good, bad = ConnectionWriter(hub), ConnectionWriter(hub, stuck=True, bound_bytes=500)
    connect(hub, good)
    client = connect(hub, bad)
    for seq in range(20):
        hub.accept("t", event("s", seq, pad="x" * 50))
        await turns(3)
    assert bad.aborted
    assert client.state is State.GONE
    assert good.ids == [f"s-{seq}" for seq in range(20)]
    assert hub.ledger.disconnects == {"slow": 1}
    assert len(hub.clients) == 1
    assert hub.topic_clients() == {"t": 1}
    sent_to_bad = hub.ledger.written - 20
    assert hub.ledger.dropped == sent_to_bad, "it never took one, so each of its frames was dropped"


async def test_a_replay_waits_for_its_client_and_continues_when_it_reads() -> None:
    hub = make_hub()
    for seq in range(2000):
        hub.accept("t", event("s", seq))
    writer = ConnectionWriter(hub, stuck=True, bound_bytes=10_000)
    connect(hub, writer, ids=["s-0"])
    await turns(50)
    assert writer.held_bytes() < 100_000, "a replay must not fill its client's buffer"
    assert not writer.aborted
    writer.unstick()
    await turns(50)
    assert writer.ids == [f"s-{seq}" for seq in range(1, 2000)]
    assert hub.ledger.replayed == 1999


async def test_a_replay_that_nobody_reads_is_dropped_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = make_hub()
    for seq in range(2000):
        hub.accept("t", event("s", seq))
    writer = ConnectionWriter(hub, stuck=True, bound_bytes=10_000)
    connect(hub, writer, ids=["s-0"])
    await turns(50)
    hub._replay.drop_stalled(30)
    assert not writer.aborted
    hub._replay.drop_stalled(-1)
    await turns()
    assert writer.aborted
    assert hub.ledger.disconnects == {"stalled": 1}


async def test_a_replay_that_is_outrun_by_history_says_so() -> None:
    hub = make_hub(history=HistoryBound(1000, 10**9, 10**20))
    for seq in range(1000):
        hub.accept("t", event("s", seq))
    writer = ConnectionWriter(hub, stuck=True, bound_bytes=10_000)
    connect(hub, writer, ids=["s-0"])
    await turns(5)
    for seq in range(1000, 3000):
        hub.accept("t", event("s", seq))
    writer.unstick()
    await turns(50)
    got = [int(id[2:]) for id in writer.ids]
    (told,) = [json.loads(gap)["lost"] for gap in writer.gaps]
    assert got == sorted(set(got))
    assert got[-1] == 2999
    assert len(got) + told == 2999


async def test_a_gap_reaches_the_clients_of_its_topic_and_those_that_resume_over_it() -> None:
    hub = make_hub(["a", "b"])
    on_a, on_b, later = ConnectionWriter(hub), ConnectionWriter(hub), ConnectionWriter(hub)
    connect(hub, on_a, ["a"])
    connect(hub, on_b, ["b"])
    hub.accept("a", event("s", 0, "a"))
    hub.gap("overflow", 3, "a")
    hub.gap("connection lost", None, None)
    hub.gap("trimmed", 1, "not subscribed")
    hub.accept("a", event("s", 1, "a"))
    await turns()
    connect(hub, later, ["a"], ["s-0"])
    await turns()
    causes = [(json.loads(gap)["cause"], json.loads(gap)["lost"]) for gap in on_a.gaps]
    assert causes == [("overflow", 3), ("connection lost", None)]
    assert [json.loads(gap)["topic"] for gap in on_b.gaps] == ["b"]
    assert [e.event for e in later.events] == ["gap", "gap", "message"]
    assert hub.ledger.gaps == 3
    assert hub.ledger.gap_lost == {"a": 3}, "what is not subscribed is nobody's loss"
    hub.gap("overflow", 2, None)
    assert hub.ledger.gap_lost == {"a": 3, "*": 2}
    assert hub.ledger.written == 3, "gaps are not deliveries"


async def test_missing_events_are_reported_although_the_broker_did_not() -> None:
    hub = make_hub()
    writer = ConnectionWriter(hub)
    connect(hub, writer)
    for seq in (5, 6, 9, 10):
        hub.accept("t", event("s", seq))
    await turns()
    assert [e.event for e in writer.events] == ["message", "message", "gap", "message", "message"]
    assert json.loads(writer.gaps[0])["lost"] == 2
    assert hub.ledger.holes == 2


async def test_a_client_from_the_start_gets_a_gap_for_what_came_before_the_first_held_event() -> None:
    hub = make_hub()
    writer = ConnectionWriter(hub)
    connect(hub, writer, ids=["0"])
    hub.accept("t", event("s", 50))
    hub.accept("t", event("other", 0))
    await turns()
    assert [e.event for e in writer.events] == ["gap", "message", "message"]
    assert json.loads(writer.gaps[0])["lost"] == 50


async def test_messages_replayed_at_subscribe_go_to_history_only() -> None:
    hub = make_hub()
    topic = hub.topics["t"]
    topic.filling = True
    topic.subscribed_ns = 1000
    whole, writer = ConnectionWriter(hub), ConnectionWriter(hub)
    hub.accept("t", event("s", 0, sent_ns=10))
    connect(hub, whole, ids=["0"])  # the others are admitted when the history has arrived
    hub.accept("t", event("s", 1, sent_ns=20))
    hub.accept("t", event("s", 1, sent_ns=20))  # a replay may overlap
    await turns()
    assert len(topic.history) == 2
    connect(hub, writer)
    hub.accept("t", event("s", 2, sent_ns=1000))
    await turns()
    assert writer.ids == ["s-2"], "sent after the subscription: live"
    assert whole.ids == ["s-0", "s-1", "s-2"], "who asks for the topic from its start gets history as it comes"
    assert not topic.filling


@given(st.binary(max_size=300) | st.builds(lambda t: t.encode("utf-8", "surrogatepass"), st.text(max_size=100)))
@settings(deadline=None)
def test_whatever_the_broker_sends_the_stream_stays_whole(payload: bytes) -> None:
    async def scene() -> None:
        hub = make_hub()
        writer = ConnectionWriter(hub)
        connect(hub, writer)
        hub.accept("t", payload)
        hub.accept("t", event("s", 0))
        await turns()
        assert "s-0" in writer.ids
        assert sum(hub.ledger.foreign.values()) + len(writer.ids) == 2

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"hello", "not UTF-8 JSON"),
        (b"\xff\xfe", "not UTF-8 JSON"),
        (b'{"stream":"s"}', "stamp field 'seq' is missing"),
        (b'{"a":\n1}', "not one line"),
        (b"[]", "not a JSON object"),
        (event("s", 0, pad="x" * 2000), "too large"),
        (event("s", 0, topic="other"), "topic mismatch"),
        (b" " + event("s", 0), "blanks before the object"),
    ],
)
def test_messages_that_are_not_ours_are_counted_by_reason_and_logged_once(
    payload: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger()
    validator = EventValidator(1000, ledger)
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            assert validator.read("t", payload) is None
    assert ledger.foreign == {reason: 1000}
    assert len(caplog.records) == 1
    assert ledger.received == {}


async def test_history_of_all_topics_together_is_bounded() -> None:
    hub = make_hub([f"t{i}" for i in range(20)], total_bytes=20_000)
    for seq in range(50):
        for i in range(20):
            hub.accept(f"t{i}", event("s", seq, f"t{i}", pad="x" * 100))
    assert 0 < hub.history_bytes <= 20_000
    assert hub.history_bytes == sum(topic.history.held_bytes for topic in hub.topics.values())
    hub.close_topic("t0")
    assert hub.history_bytes == sum(topic.history.held_bytes for topic in hub.topics.values())


async def test_clients_that_are_slow_together_are_dropped_over_several_turns() -> None:
    """Discarding the buffers of thousands of connections takes a second, in which nobody else would get a turn."""
    hub = make_hub()
    turns_of_aborts: list[int] = []
    turn = 0

    class Heavy(ConnectionWriter):
        def abort(self) -> None:
            until_s = time.monotonic() + 0.001
            while time.monotonic() < until_s:
                pass
            turns_of_aborts.append(turn)
            super().abort()

    writers = [Heavy(hub, stuck=True, bound_bytes=100) for _ in range(60)]
    for writer in writers:
        connect(hub, writer)
    hub.accept("t", event("s", 0, pad="x" * 200))
    while len(turns_of_aborts) < len(writers):
        turn += 1
        assert turn < 1000
        await asyncio.sleep(0)
        hub.accept("t", event("s", turn))
    assert all(writer.aborted for writer in writers)
    most = max(turns_of_aborts.count(turn) for turn in set(turns_of_aborts))
    assert most <= 5
    assert hub.ledger.disconnects == {"slow": 60}
    assert not hub.clients


async def test_stop_ends_every_stream_once_and_admits_nobody() -> None:
    hub = make_hub()
    writers = [ConnectionWriter(hub) for _ in range(3)]
    clients = [connect(hub, writer) for writer in writers]
    hub.accept("t", event("s", 0))
    await end_by_and_by(hub, 0)
    hub.close()
    assert all(writer.finished and writer.ids == ["s-0"] for writer in writers)
    for client in clients:
        hub.leave(client, "client left")
    assert hub.ledger.disconnects == {"server stopped": 3}
    assert hub.stopping


async def test_the_tick_continues_and_discards_old_events() -> None:
    hub = make_hub(history=HistoryBound(100, 10**9, 10**9))
    hub.accept("t", event("s", 0, sent_ns=2 * 10**18))  # of a clock that is years ahead
    called: list[int] = []
    hub.tick(lambda: called.append(1))
    assert called == [1]
    assert len(hub.topics["t"].history) == 1
    hub.close()


async def test_heartbeats_reach_each_client_once_in_an_interval() -> None:
    hub = make_hub()
    writers = [ConnectionWriter(hub) for _ in range(100)]
    for writer in writers:
        connect(hub, writer)
    beats = Heartbeats(10, ticks_hz=1)
    busiest = 0
    for second in range(10):
        before = sum(writer.taken.endswith(BEAT) for writer in writers)
        beats.tick(hub.clients, float(second))
        busiest = max(busiest, sum(writer.taken.endswith(BEAT) for writer in writers) - before)
    assert all(writer.taken.count(BEAT) == 1 for writer in writers)
    assert busiest <= 10, "beats are spread over the interval"


def test_streams_counted_one_by_one_are_bounded() -> None:
    ledger = Ledger()
    ledger.received = {(f"s{i}", "t"): [0, 1] for i in range(MAX_PAIRS)}
    ledger.receive(Stamp("new", 0, "t", "measure", 0, 0))
    ledger.receive(Stamp("newer", 0, "t", "warmup", 0, 0))
    assert ledger.received["*", "t"] == [1, 1]
    assert len(ledger.received) == MAX_PAIRS + 1
    assert encode(Stamp("new", 0, "t", "measure", 0, 0))


class FailingSender:
    """A ring that the kernel refuses."""

    usable = True

    def send(self, descriptors: object, data: bytes) -> list[tuple[int, int]]:
        self.usable = False
        raise OSError("busy")


async def test_clients_that_may_have_got_half_an_event_are_dropped_and_can_resume() -> None:
    hub = make_hub(sender=FailingSender())
    writers = [ConnectionWriter(hub) for _ in range(20)]
    for place, writer in enumerate(writers):
        writer.descriptor = place
        connect(hub, writer)
    hub.accept("t", event("s", 0))
    await turns()
    assert all(writer.aborted for writer in writers)
    assert hub.ledger.disconnects == {"send failed": 20}
    assert hub.clients == {}
    late = ConnectionWriter(hub)
    connect(hub, late)
    hub.accept("t", event("s", 1))
    await turns()
    assert late.ids[-1] == "s-1"
