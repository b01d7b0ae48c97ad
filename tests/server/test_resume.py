"""After resuming, a client has everything, in order, or was informed of a gap, whatever it had before."""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.stamp import decode
from server.frame import FrameMaker
from server.history import History, HistoryBound
from server.resume import MAX_AHEAD, MAX_IDS, Given, is_placed, read_ids, resume
from tests.server.made_up import SECOND_NS, ConnectionWriter, connect, event, make_hub, turns
from tests.server.test_subscriptions import until


@given(
    published=st.integers(0, 60),
    events_held=st.integers(0, 40),
    last=st.integers(0, 80),
    more=st.integers(0, 30),
    missing=st.sets(st.integers(0, 90), max_size=5),
)
@settings(deadline=None)
def test_one_topic_with_one_stream_has_no_duplicate_and_no_silent_hole(
    published: int, events_held: int, last: int, more: int, missing: set[int]
) -> None:
    """`last` may be before the held events, among them, or ahead of this replica."""

    async def scene() -> None:
        hub = make_hub(history=HistoryBound(events_held, 10**9, 10**20))
        arriving = [seq for seq in range(published + more) if seq not in missing]
        for seq in arriving:
            if seq < published:
                hub.accept("t", event("s", seq))
        writer = ConnectionWriter(hub)
        connect(hub, writer, ids=[f"s-{last}"])
        for seq in arriving:
            if seq >= published:
                hub.accept("t", event("s", seq))
        await turns()
        got = [int(id.partition("-")[2]) for id in writer.ids]
        assert got == sorted(set(got)), "doubled or reordered"
        assert all(seq > last for seq in got), "what the client has is not sent again"
        should = [seq for seq in arriving if seq > last]
        told = [json.loads(gap) for gap in writer.gaps]
        unknown = any("unknown" in gap["cause"] for gap in told)
        if unknown:  # the stream was unknown here when the client arrived
            assert not [seq for seq in arriving if seq < published]
        lost = [seq for seq in should if seq not in got]
        if lost:
            assert told
            assert writer.events[0].event == "gap"
            assert got == should[len(lost) :], "what is held after the gap must all come"
            counts = [gap["lost"] for gap in told]
            assert None in counts or sum(counts) >= len(lost)
        if not unknown:
            assert set(got) <= set(should), "the client had these"

    asyncio.run(scene())


def skewed(order: list[tuple[str, int]], swaps: list[int]) -> list[tuple[str, int]]:
    """The same events with neighbours of different (stream, topic) swapped, as another replica may receive them."""
    order = list(order)
    for i in swaps:
        if i + 1 < len(order) and order[i][0] != order[i + 1][0]:
            order[i], order[i + 1] = order[i + 1], order[i]
    return order


@given(
    kinds=st.lists(st.sampled_from(["s/a", "s/b", "u/a"]), min_size=1, max_size=40),
    swaps=st.lists(st.integers(0, 40), max_size=10),
    cut=st.integers(1, 40),
    by_topic=st.booleans(),
)
@settings(deadline=None)
@pytest.mark.slow
def test_several_topics_and_streams_lose_nothing_at_another_replica(
    kinds: list[str], swaps: list[int], cut: int, by_topic: bool
) -> None:
    """The client received a prefix at one replica and continues at another, which received the same in a similar order."""

    async def scene() -> None:
        seqs: dict[str, int] = {}
        order: list[tuple[str, int]] = []
        sent: dict[tuple[str, int], int] = {}
        for i, kind in enumerate(kinds):
            order.append((kind, seqs.get(kind, 0)))
            seqs[kind] = seqs.get(kind, 0) + 1
            sent[order[-1]] = (i + 1) * SECOND_NS // 10
        had = skewed(order, swaps)[:cut]
        if by_topic:  # the client names the last id of each stream and topic
            latest = dict(had)
            ids = [f"{kind[2]}:{kind[0]}-{seq}" for kind, seq in latest.items()]
        else:
            kind, seq = had[-1]
            ids = [f"{kind[0]}-{seq}"]
        hub = make_hub(["a", "b"])
        for kind, seq in order:
            hub.accept(kind[2], event(kind[0], seq, kind[2], sent[kind, seq]))
        writer = ConnectionWriter(hub)
        connect(hub, writer, ["a", "b"], ids, overlap_ns=2 * SECOND_NS)
        await turns()
        got = [
            (f"{fields['stream']}/{fields['topic']}", fields["seq"])
            for fields in (json.loads(e.data) for e in writer.events if e.event == "message")
        ]
        assert set(had) | set(got) == set(order) or writer.gaps
        assert len(got) == len(set(got)), "one of them came twice"
        for kind in set(kinds):
            assert [seq for k, seq in got if k == kind] == sorted(seq for k, seq in got if k == kind)
        if by_topic:
            named = {kind for kind, _ in had}
            assert not {pair for pair in got if pair in had and pair[0] in named}, "exact ids bring no double"

    asyncio.run(scene())


@given(st.lists(st.text(max_size=60), max_size=5), st.sampled_from([("t",), ("t", "u"), ("a:b",)]))
def test_whatever_a_client_sends_as_its_last_id_is_read(values: list[str], topics: tuple[str, ...]) -> None:
    found = read_ids(values, topics)
    assert found is None or isinstance(found, Given)
    assert (found is None) == (not any(values))


@pytest.mark.parametrize(
    ("values", "topics", "expected"),
    [
        ([], ("t",), None),
        ([""], ("t",), None),
        (["s-5"], ("t",), Given({"t": {"s": 5}}, {}, "")),
        (["s-5"], ("t", "u"), Given({}, {"s": 5}, "")),
        (["s-5", "s-9"], ("t", "u"), Given({}, {"s": 5}, "")),
        (["s-9", "s-5"], ("t",), Given({"t": {"s": 5}}, {}, "")),
        (["s-5", "v-3"], ("t", "u"), Given({}, {"s": 5, "v": 3}, "")),
        (["u:s-5", "t:v-1"], ("t", "u"), Given({"u": {"s": 5}, "t": {"v": 1}}, {}, "")),
        (["a:b:s-5"], ("a:b",), Given({"a:b": {"s": 5}}, {}, "")),
        (["other:s-5"], ("t",), Given({}, {}, "malformed id")),
        (["s-05"], ("t",), Given({}, {}, "malformed id")),
        (["s-5\n"], ("t",), Given({}, {}, "malformed id")),
        (["s--5"], ("t",), Given({}, {}, "malformed id")),
        (["../../etc/passwd-1"], ("t",), Given({}, {}, "malformed id")),
        (["s-9999999999999999999"], ("t",), Given({}, {}, "malformed id")),
    ],
)
def test_ids(values: list[str], topics: tuple[str, ...], expected: Given | None) -> None:
    assert read_ids(values, topics) == expected


def test_too_many_ids_are_not_all_read() -> None:
    found = read_ids([f"t:s{i}-1" for i in range(MAX_IDS + 1)], ("t",))
    assert found is not None
    assert found.fault == f"more than {MAX_IDS} ids"
    assert len(found.of_topic["t"]) == MAX_IDS


@pytest.mark.parametrize("id", ["nonsense", "other-3", "s-999999999999999999", f"s-{4 + MAX_AHEAD + 1}"])
async def test_an_unknown_id_gives_a_gap_and_then_the_held_events(id: str) -> None:
    hub = make_hub()
    for seq in range(5):
        hub.accept("t", event("s", seq))
    writer = ConnectionWriter(hub)
    connect(hub, writer, ids=[id])
    hub.accept("t", event("s", 5))
    await turns()
    first = writer.events[0]
    assert first.event == "gap"
    assert json.loads(first.data).keys() == {"server", "cause", "lost", "topic"}
    assert json.loads(first.data)["lost"] is None
    assert writer.ids == [f"s-{seq}" for seq in range(6)]


async def test_a_topic_with_a_shorter_history_is_reported_as_a_gap() -> None:
    hub = make_hub(["a", "b"], HistoryBound(3, 10**9, 10**20))
    for seq in range(10):
        hub.accept("b", event("s", seq, "b", sent_ns=seq * SECOND_NS))
    hub.accept("a", event("s", 0, "a", sent_ns=2 * SECOND_NS))
    writer = ConnectionWriter(hub)
    connect(hub, writer, ["a", "b"], ["a:s-0"])
    await turns()
    (gap,) = [json.loads(gap) for gap in writer.gaps]
    assert gap["topic"] == "b"
    assert writer.ids == ["s-7", "s-8", "s-9"]


async def test_a_client_that_comes_before_the_topics_first_event_gets_nothing_twice() -> None:
    """A replica whose link to the broker is cut opens the topic for a client that moves there, and then gets all of it."""
    hub = make_hub()
    mover, newcomer = ConnectionWriter(hub), ConnectionWriter(hub)
    connect(hub, mover, ids=["s-15"])
    connect(hub, newcomer)
    assert len(mover.gaps) == 1
    for seq in range(20):
        hub.accept("t", event("s", seq))
    await turns()
    assert mover.ids == [f"s-{seq}" for seq in range(16, 20)]
    assert newcomer.ids == [f"s-{seq}" for seq in range(20)]
    assert not hub.topics["t"].ahead


async def test_a_client_of_a_generator_that_is_gone_is_served_like_the_others() -> None:
    hub = make_hub()
    writer = ConnectionWriter(hub)
    connect(hub, writer, ids=["old-500"])
    for seq in range(3):
        hub.accept("t", event("new", seq))
    await turns()
    assert writer.ids == ["new-0", "new-1", "new-2"]
    assert not hub.topics["t"].ahead


async def test_a_client_that_is_ahead_of_its_new_replica_gets_nothing_twice() -> None:
    hub = make_hub()
    for seq in range(3):
        hub.accept("t", event("s", seq))
    writer = ConnectionWriter(hub)
    connect(hub, writer, ids=["s-5"])
    for seq in range(3, 9):
        hub.accept("t", event("s", seq))
    await turns()
    hub.accept("t", event("s", 9))
    await turns()
    assert writer.ids == ["s-6", "s-7", "s-8", "s-9"]
    assert not writer.gaps


def crowded(held: int, topics: int = 8, streams: int = 64) -> dict[str, History]:
    """Topics with many streams each, so that no id reveals its position."""
    make, histories = FrameMaker("r"), {}
    for topic in (f"t{i}" for i in range(topics)):
        history = histories[topic] = History(HistoryBound(10**6, 10**9, 10**20), 0)
        for i in range(held):
            payload = event(f"s{i % streams}", i // streams, topic, sent_ns=i)
            history.append(make.event(decode(payload), payload, 1), 1)
    return histories


def least_s(work: Callable[[], object], rounds: int = 7) -> float:
    """The fastest of several rounds, which a busy machine disturbs least."""

    def once() -> float:
        began_s = time.thread_time()  # not the CPU that others used
        work()
        return time.thread_time() - began_s

    return min(once() for _ in range(rounds))


def steps(work: Callable[[], object]) -> int:
    """The number of Python instructions, which a busy machine does not change."""
    count = 0

    def look(frame: Any, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return look

    work()  # one-time work
    before = sys.gettrace()
    sys.settrace(look)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "ids",
    [
        [f"t{i % 8}:s{i}-2" for i in range(MAX_IDS)],
        [f"t0:s{i}-2" for i in range(MAX_IDS)],
        [f"s{i}-2" for i in range(MAX_IDS)],
        [f"nobody{i}-2" for i in range(MAX_IDS)],
        [f"s{i}-{10**6}" for i in range(MAX_IDS)],
    ],
    ids=["each of a topic", "all of one topic", "of any topic", "unknown", "beyond"],
)
def test_a_request_costs_the_same_however_much_is_held(ids: list[str]) -> None:
    topics = [f"t{i}" for i in range(8)]
    costs_s = []
    for held in (400, 4000):
        histories = crowded(held)
        costs_s.append(least_s(lambda held=histories: resume(read_ids(ids, topics), held, 1)))
    assert costs_s[1] < 3 * costs_s[0], costs_s


async def test_the_cost_of_clients_that_are_ahead_does_not_depend_on_their_ids() -> None:
    async def fan_out_steps(ids: int) -> int:
        hub = make_hub()
        for i in range(64):
            hub.accept("t", event(f"s{i}", 0))
        for _ in range(100):
            in_step = [f"t:s{i}-0" for i in range(ids - 1)]
            connect(hub, ConnectionWriter(hub), ids=[*in_step, "t:s63-5000"])
        await until(lambda: len(hub.topics["t"].ahead) == 100, "all are ahead")  # on a busy machine in many turns
        seqs = iter(range(1, 1000))

        return steps(lambda: (hub.accept("t", event("s0", next(seqs))), hub.flush()))

    many, one = await fan_out_steps(64), await fan_out_steps(1)
    assert many < 2 * one, (many, one)


@example(order=[("a", 3), ("b", 0), ("a", 5)], bound=3, lookups=[(3, "a", 3)])
@given(
    order=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 8)), max_size=60),
    bound=st.integers(1, 60),
    lookups=st.lists(st.tuples(st.integers(0, 60), st.sampled_from("abcd"), st.integers(0, 9)), max_size=10),
)
def test_look_ups_find_what_a_walk_finds(
    order: list[tuple[str, int]], bound: int, lookups: list[tuple[int, str, int]]
) -> None:
    """Also with duplicates, disorder, and look-ups while the history moves."""
    history, make = History(HistoryBound(bound, 10**9, 10**20), 0), FrameMaker("r")
    at: dict[int, list[tuple[str, int]]] = {}
    for place, stream, seq in lookups:
        at.setdefault(place, []).append((stream, seq))
    for place, (stream, seq) in enumerate([*order, ("a", 99)]):
        for wanted in at.get(place, []):
            held = list(history.walk(history.start))
            ids = [(frame.stream, frame.seq) for frame in held]
            found = history.find(*wanted)
            if found is not None:
                assert (found.stream, found.seq) == wanted
            span = history.spans.get(wanted[0])
            if span is not None and wanted[1] > span.floor:
                assert (found is not None) == (wanted in ids)
            beyond = [i for i, (other, number) in enumerate(ids) if other == wanted[0] and number > wanted[1]]
            first, begin = beyond[0] if beyond else len(held), history.after(*wanted) - history.start
            assert begin <= first
            assert wanted[0] not in {other for other, _ in ids[begin:first]}  # others may exist
        payload = event(stream, seq)
        history.append(make.event(decode(payload), payload, 1), 1)


def history_of(*seqs: int) -> History:
    hub = make_hub(history=HistoryBound(100, 10**9, 10**20))
    for seq in seqs:
        hub.accept("t", event("s", seq))
    return hub.topics["t"].history


async def test_a_client_without_events_gets_the_held_ones_and_a_gap_for_the_rest() -> None:
    given = read_ids(["0"], ["t"])
    assert given is not None
    assert given.from_start
    whole, late = history_of(0, 1, 2), history_of(5, 6)
    assert resume(given, {"t": whole}, 0) == ({"t": whole.start}, {}, [])
    position = resume(given, {"t": late}, 0)
    assert position.cursors == {"t": late.start}
    assert [(gap.topic, gap.lost) for gap in position.gaps] == [("t", 5)]


async def test_a_position_is_known_at_the_start_and_after_a_held_id() -> None:
    histories = {"t": history_of(3, 4, 5)}
    for ids, placed in (
        (["0"], True),
        (["s-4"], True),
        (["s-5"], True),
        (["s-6"], False),
        (["s-1"], False),
        (["v-4"], False),
    ):
        given = read_ids(ids, ["t"])
        assert given is not None
        assert is_placed(given, histories) is placed, ids
