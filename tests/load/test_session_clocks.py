"""Sessions obey the same rules of clocks as other events: corrected within a bound, or refused."""

import time

import pytest

from core.clock_offset import OffsetInterval
from core.contracts.session_rules import SessionRules
from core.host_clock import ClockMark, HostClock, short_name, split_mark
from core.token_sessions import sessions
from generator.clocks import ReplicaClocks
from generator.session_marks import MARK_AGAIN_NS, SessionMarks
from load.client_state import ClientState, Counters
from load.clock_correction import ClockCorrection
from load.clock_problems import clock_problems, comparison
from load.frames import Event
from load.latency_recorder import LatencyRecorder
from load.ledger import Series, Track
from load.recovery import Recovery
from load.visit_progress import VisitProgress, VisitTimes
from tests.load.test_clocks import MS, S, ask, elsewhere

RULES = SessionRules(
    arrivals_hz=5, lifetime_s=(1, 2), rate_hz=(20, 40), payload_bytes=(4, 30), warmup_s=0, duration_s=4
)
LONG = max(sessions(RULES), key=lambda one: one.last_seq)
TRUE_MS = {"schedule": 1.0, "broker": 9.0, "fanout": 20.0, "latency": 30.0}
THIRD = HostClock("third0", 1)


class Scene:
    """One visit of this host to a session; replica and generator have the given clocks, in milliseconds ahead of this host's."""

    def __init__(self, replica_ms=0.0, generator_ms=0.0, mark=THIRD, compared=True):
        self.now_ns = time.time_ns()
        self.clocks = ClockCorrection()
        self.replica_ms, self.generator_ms = replica_ms, generator_ms
        ask(self.clocks.known, "replica-1", elsewhere(replica_ms), replica_ms, self.now_ns)
        apart_ns = int((replica_ms - generator_ms) * MS)
        ahead = OffsetInterval(apart_ns - 100_000, apart_ns + 100_000) if compared else None
        self.mark = ClockMark(mark, short_name("replica-1") if compared else "", ahead).encode()
        self.recorder = LatencyRecorder(self.clocks)
        self.times = VisitTimes()
        self.series = Series("s", LONG.topic)

    def event(self, seq, due_ns, marked):
        """Sent 1 ms after it was due (a true instant), received 9 ms later."""
        one = Event(self.series, seq, True, "replica-1", f"s-{seq}")
        one.due_ns = due_ns + int(self.generator_ms * MS)
        one.sent_ns = due_ns + int((self.generator_ms + 1) * MS)
        one.received_ns = due_ns + int((self.replica_ms + 10) * MS)
        one.content = (self.mark if marked else "") + LONG.payload(seq).decode()
        return one

    def visited(self, opened_ns, marked=(0,), count=20):
        """The events after a visit that opened then; each comes 30 ms after it was due, and not before the opening."""
        begins_ns = self.now_ns - S - LONG.due_ns[0]
        state = ClientState(LONG.topic, Counters(), "0")
        state.opened(opened_ns, opened_ns)
        state.visit = VisitProgress(
            LONG, LONG.visits[0]._replace(last_seq=LONG.last_seq, moves_after_seq=-1), opened_ns, self.times,
            self.clocks.ahead, on_move=lambda: None, on_end=lambda: None,
        )  # fmt: skip
        events = [self.event(seq, begins_ns + LONG.due_ns[seq], seq in marked) for seq in range(count)]
        for event in events:
            due_ns = event.due_ns - int(self.generator_ms * MS)
            state.take((event,), max(opened_ns + 2 * MS, due_ns + 30 * MS), Track(None))
        self.recorder.fold(events)
        return state.visit

    def p50_ms(self):
        spans = {name: self.recorder.spans[name].percentile_ms(50) for name in ("schedule", "broker", "fanout")}
        return spans | {"latency": self.recorder.servers["replica-1"].percentile_ms(50)}


@pytest.mark.parametrize("replica_ms", [-500, 20])
@pytest.mark.parametrize("generator_ms", [-500, -20, 500])
def test_every_hop_is_corrected_though_only_some_events_carry_the_mark(replica_ms, generator_ms):
    scene = Scene(replica_ms, generator_ms)
    visit = scene.visited(scene.now_ns - 2 * S)
    assert (visit.wrong, visit.doubled) == (0, 0)
    bounds = comparison(scene.clocks.finish(scene.now_ns)).bounds_ms
    assert 0 < bounds["fanout"] < bounds["latency"] < bounds["broker"] < 5
    for span, true_ms in TRUE_MS.items():
        assert scene.p50_ms()[span] == pytest.approx(true_ms, abs=bounds.get(span, 0.05) + 0.05), span
    (first_ns,) = scene.times.first_event_ns
    assert first_ns / MS == pytest.approx(30, abs=bounds["latency"] + 0.05)
    assert clock_problems(scene.clocks.tally) == []


@pytest.mark.parametrize("generator_ms", [-500, 0, 500])
@pytest.mark.parametrize("replica_ms", [-500, 500])
def test_history_is_what_was_sent_before_the_opening_by_one_clock(generator_ms, replica_ms):
    scene = Scene(replica_ms, generator_ms)
    opened_ns = scene.now_ns - S + LONG.due_ns[10] - LONG.due_ns[0] - 100_000  # the eleventh is still to be sent
    scene.visited(opened_ns)
    latency = scene.recorder.servers["replica-1"]
    old = sum(due_ns + MS < LONG.due_ns[10] - 100_000 for due_ns in LONG.due_ns[:20])
    assert 0 < old < 20
    assert (latency.count, latency.negative) == (20, 0)
    assert latency.percentile_ms(1) == pytest.approx(2, abs=0.01)
    assert latency.percentile_ms(99) == pytest.approx(30, abs=2)
    spans = scene.recorder.spans
    assert (spans["schedule"].negative, spans["broker"].negative, spans["fanout"].negative) == (0, 0, 0)
    assert len(scene.times.gap_sent_ns) == 20 - old - 1


def test_a_generator_that_did_not_compare_its_clock_is_a_problem():
    scene = Scene(5, 20, compared=False)
    scene.visited(scene.now_ns - 2 * S)
    (said,) = clock_problems(scene.clocks.finish(scene.now_ns))
    assert "20 deliveries come from a generator on another host that did not compare its clock" in said


def test_a_session_without_any_mark_is_a_problem_where_a_replica_has_another_clock():
    scene = Scene(5, 20)
    scene.visited(scene.now_ns - 2 * S, marked=())
    assert "latency and broker hop are not known" in clock_problems(scene.clocks.finish(scene.now_ns))[0]


@pytest.mark.parametrize("replica_ms", [-500, 0, 500])
def test_what_was_replayed_is_told_by_one_clock(replica_ms):
    scene = Scene(replica_ms)
    counters = Counters(clocks=scene.clocks)
    state = ClientState(LONG.topic, counters)
    state.opened(scene.now_ns - 9 * S, scene.now_ns - 9 * S)
    state.closed(scene.now_ns - 2 * S)
    state.opened(scene.now_ns - S, scene.now_ns - S)
    for seq, due_ns in enumerate((-1200, -1100, -900, -800)):  # received 10 ms later
        state.take((scene.event(seq, scene.now_ns + due_ns * MS, marked=True),), scene.now_ns, Track(None))
    assert counters.replayed == 2


@pytest.mark.parametrize("generator_ms", [-500, 0, 500])
def test_the_first_event_after_a_fault_is_told_by_one_clock(generator_ms):
    scene = Scene(20, generator_ms)
    state = ClientState(LONG.topic, Counters(clocks=scene.clocks))
    state.opened(scene.now_ns - 9 * S, scene.now_ns - 9 * S)
    state.recovery = Recovery(scene.now_ns - S)
    for seq, due_ms in enumerate((-1100, -900, -800)):
        due_ns = scene.now_ns + due_ms * MS
        state.take((scene.event(seq, due_ns, marked=True),), due_ns + 300 * MS, Track(None))
    assert state.recovery.first_event_ns == 400 * MS


def test_orders_are_moved_into_the_clock_of_the_worker():
    scene = Scene(replica_ms=500)
    compared = OffsetInterval(
        480 * MS - 1000, 480 * MS + 1000
    )  # the replica is 480 ms ahead of the master, so it is 20 ahead of us
    mark = ClockMark(HostClock("master", 1), short_name("replica-1"), compared).encode()
    assert scene.clocks.orders_ahead_ns(mark) == pytest.approx(20 * MS, abs=MS)
    assert scene.clocks.orders_ahead_ns(ClockMark(HostClock.read()).encode()) == 0
    assert clock_problems(scene.clocks.finish(scene.now_ns)) == []
    assert scene.clocks.orders_ahead_ns(ClockMark(HostClock("master", 1)).encode()) == 0
    (said,) = clock_problems(scene.clocks.finish(scene.now_ns))
    assert "could not compare its clock with that of its master" in said


def test_shares_of_one_schedule_on_two_hosts_have_each_their_own_clock():
    scene = Scene(5, 20)
    scene.visited(scene.now_ns - 2 * S)
    other = Scene(5, 0, mark=HostClock("fourth", 10 * S))
    other.clocks, other.recorder = scene.clocks, scene.recorder
    other.visited(scene.now_ns - 2 * S)
    tally = scene.clocks.finish(scene.now_ns)
    assert clock_problems(tally) == []
    assert {"the generator on host third0", "the generator on host fourth"} <= set(tally.offsets)


def test_the_first_event_of_each_session_has_the_mark_and_later_ones_where_clocks_are_compared():
    alone = ReplicaClocks()
    marks = SessionMarks(alone)
    found = [marks.before("session-1", seq, seq * MARK_AGAIN_NS) for seq in range(3)]
    assert found == [alone.mark.encode(), b"", b""]
    comparing = ReplicaClocks(MARK_AGAIN_NS)
    comparing.heard("replica-1", 1 * S, 2 * S, 1 * S + MS)
    marks = SessionMarks(comparing)
    marked = [bool(marks.before("session-1", seq, seq * MARK_AGAIN_NS // 2)) for seq in range(5)]
    assert marked == [True, False, True, False, True]
    assert marks.before("session-2", 0, 0)


@pytest.mark.parametrize("content", ["", "the answer", "c=no end", "c=" + 100 * "x" + " far too long"])
def test_content_without_a_mark_stays_as_it_is(content):
    assert split_mark(content) == ("", content)
    mark = ClockMark(HostClock.read()).encode()
    assert split_mark(mark + content) == (mark, content)
