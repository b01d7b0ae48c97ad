"""A visit to a session: what it expects, what it does, and what is reported about missing events."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.contracts.load_result import Cause
from core.contracts.session_rules import SessionRules
from core.sse import encode_event
from core.stamp import Stamp, encode, encode_compact, pass_on_compact
from core.token_sessions import sessions, visits
from load.client_state import ClientState, Counters
from load.clock_correction import ClockCorrection
from load.feed import Feed
from load.frames import ClocksAhead, Event, GapFrame, SeriesRegistry, Source
from load.ledger import Track
from load.transport import PLAIN
from load.visit_progress import VisitProgress, VisitTimes
from load.visits import Visits, lost_of

RULES = SessionRules(
    arrivals_hz=5,
    lifetime_s=(1, 2),
    rate_hz=(20, 40),
    payload_bytes=(0, 30),
    second_tab=0.5,
    late_join=0.3,
    resume=0.5,
    leave_early=0.5,
    warmup_s=1,
    duration_s=4,
)
STARTS_NS = 1_700_000_000_000_000_000
PLANNED = list(visits(RULES))


class Timer:
    def __init__(self, loop, wait_s):
        self.at_ns = loop.now_ns + int(wait_s * 1e9)
        self.loop = loop

    def start(self, call):
        self.call = call
        self.loop.timers.append(self)

    def stop(self):
        self.loop.timers = [one for one in self.loop.timers if one is not self]

    def close(self):
        """Nothing to free."""


class Loop:
    """The part of gevent's loop that visits use, with simulated time."""

    def __init__(self):
        self.now_ns = STARTS_NS
        self.timers = []
        self.soon = []

    def timer(self, wait_s):
        return Timer(self, wait_s)

    def run_callback(self, call):
        self.soon.append(call)

    def turn(self):
        while self.soon:
            self.soon.pop(0)()

    def until(self, at_ns):
        """Run the timers up to that instant."""
        while due := [timer for timer in self.timers if timer.at_ns <= at_ns]:
            first = min(due, key=lambda timer: timer.at_ns)
            self.timers.remove(first)
            self.now_ns = max(self.now_ns, first.at_ns)
            first.call()
        self.now_ns = at_ns


class Reader:
    def __init__(self):
        self.moves = 0

    def move(self):
        self.moves += 1


class Client:
    def __init__(self, topic, replica, state):
        self.topic, self.replica, self.state, self.reader = topic, replica, state, Reader()


class House:
    """Clients without sockets: the test says what they receive."""

    def __init__(self):
        self.counters = Counters()
        self.clocks = ClockCorrection()
        self.clients = {}
        self.gone = []
        self.marked_ns = 0

    def admit(self, topic, user, replica, state):
        state.opened(STARTS_NS, STARTS_NS)
        client = Client(topic, replica, state)
        self.clients.setdefault(topic, []).append(client)
        return client

    def dismiss(self, client):
        self.gone.append(client)
        if client.state.connected:
            client.state.closed(STARTS_NS)


def events_of(session, only=None, form="compact"):
    """The session's events as a client of `replica-1` reads them."""
    feed = Feed(SeriesRegistry(), PLAIN, Source("replica-1", session.topic), remember=False)
    for seq, due_ns in enumerate(session.due_ns):
        if only is not None and seq not in only:
            continue
        phase = "measure" if due_ns >= RULES.warmup_ns else "warmup"
        stamp = Stamp("k3f9", seq, session.topic, phase, STARTS_NS + due_ns, STARTS_NS + due_ns + 5_000)
        payload = session.payload(seq)
        if form == "compact":
            data = pass_on_compact(stamp, encode_compact(stamp, payload), stamp.sent_ns + 1_000_000)
        else:
            data = (
                b'{"server":"replica-1","received_ns":%d,' % (stamp.sent_ns + 1) + encode(stamp, payload.decode())[1:]
            )
        parsed = feed.parse(encode_event(data.decode(), id=stamp.id))
        yield from parsed.items


def scene(monkeypatch, users=3, present=(0, 1, 2)):
    loop, house = Loop(), House()
    monkeypatch.setattr("load.visits.time_ns", lambda: loop.now_ns)
    room = Visits(RULES, users, 2, house, loop)
    for number in present:
        room.sit(number)
    return loop, house, room


@pytest.mark.parametrize("form", ["compact", "readable"])
def test_a_run_in_which_everything_comes_adds_up(monkeypatch, form):
    loop, house, room = scene(monkeypatch)
    room.begin(STARTS_NS)
    loop.until(STARTS_NS + RULES.end_ns)
    delivered = 0
    for session in sessions(RULES):
        for client in house.clients[session.topic]:
            for event in events_of(session, form=form):
                client.state.take((event,), event.received_ns + 2_000_000, Track(None))
                delivered += event.measured and len(event.arrivals)
                loop.turn()
    account = room.finish()
    tally = account.tally
    assert tally.due == tally.opened == tally.complete == len(PLANNED)
    assert account.received == tally.expected == delivered == sum(one.session.expected(one.visit) for one in PLANNED)
    assert not account.causes
    assert tally.wrong == 0
    assert tally.late == sum(one.visit.late for one in PLANNED)
    assert len(room.times.gap_seen_ns) == len(room.times.gap_sent_ns) > 0
    assert sum(client.reader.moves for client in house.gone) == tally.moved == sum(
        one.visit.moves_after_seq >= 0 for one in PLANNED
    )  # fmt: skip


def test_each_process_takes_the_visits_of_its_users_and_together_they_take_all(monkeypatch):
    taken = []
    for present in ((0, 2), (1,)):
        loop, house, room = scene(monkeypatch, present=present)
        room.begin(STARTS_NS)
        loop.until(STARTS_NS + RULES.end_ns)
        taken += [client.state.visit.visit.number for clients in house.clients.values() for client in clients]
    assert sorted(taken) == [one.number for one in sorted(PLANNED, key=lambda one: one.number)]


def test_visits_open_when_they_are_due_and_not_before(monkeypatch):
    loop, house, room = scene(monkeypatch)
    room.begin(STARTS_NS)
    for before, planned in pairwise(PLANNED):
        loop.until(STARTS_NS + before.opens_ns)
        assert room.account.tally.due == sum(one.opens_ns <= before.opens_ns for one in PLANNED)
        assert planned.opens_ns >= before.opens_ns
    assert {client.replica for clients in house.clients.values() for client in clients} == {0, 1}


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("heard", [True, False])
def test_what_is_missing_before_the_first_event_is_explained_if_the_replica_says_so(monkeypatch, told, heard):
    loop, house, room = scene(monkeypatch)
    room.begin(STARTS_NS)
    loop.until(STARTS_NS + RULES.end_ns)
    session = max(sessions(RULES), key=lambda one: one.expected(one.visits[0]))
    (client, *_) = (one for one in house.clients[session.topic] if one.state.visit.visit == session.visits[0])
    from_seq = session.measured_from + 3
    if told:
        client.state.take(
            (GapFrame("history does not reach back to the start", session.topic),), loop.now_ns, Track(None)
        )
    for event in events_of(session, only=range(from_seq, len(session.due_ns))) if heard else ():
        client.state.take((event,), event.received_ns, Track(None))
    room._close(session.visits[0].number)
    missing = 3 if heard else session.expected(session.visits[0])
    cause = Cause.GAP if told else Cause.UNEXPLAINED if heard else Cause.TAIL
    assert room.account.causes == {cause: missing}


def test_the_longest_wait_is_also_that_of_a_visit_that_opens_after_the_fault(monkeypatch):
    loop, house, room = scene(monkeypatch)
    room.begin(STARTS_NS)
    house.marked_ns = STARTS_NS + 1_000_000_000
    loop.until(STARTS_NS + RULES.end_ns)
    waits_ns = []
    for session in sessions(RULES):
        for client in house.clients[session.topic]:
            visit = client.state.visit.visit
            wanted_ns = STARTS_NS + max(visit.opens_ns, session.due_ns[0])
            heard_ns = wanted_ns + 700_000_000
            if heard_ns >= house.marked_ns:
                waits_ns.append(700_000_000)
            for event in events_of(session, only={0}):
                client.state.take((event,), heard_ns, Track(None))
                loop.turn()
    account = room.finish()
    assert waits_ns, "some open after the fault"
    assert len(waits_ns) < account.tally.due, "and some were served before it"
    assert account.first_waits_ns == pytest.approx(waits_ns, abs=10_000)


def test_a_visit_that_never_hears_anything_waits_until_its_session_ends(monkeypatch):
    loop, house, room = scene(monkeypatch)
    room.begin(STARTS_NS)
    house.marked_ns = STARTS_NS + 1
    loop.until(STARTS_NS + 2 * RULES.end_ns)
    waits_ns = [one.session.due_ns[-1] - max(one.opens_ns, one.session.due_ns[0]) for one in PLANNED]
    assert sorted(room.finish().first_waits_ns) == sorted(wait for wait in waits_ns if wait > 0)


def one_visit(visit, session, opened_ns=STARTS_NS, ahead_of=lambda event, now_ns: ClocksAhead(0, 0)):
    told = []
    state = ClientState(session.topic, Counters(), "0")
    state.opened(STARTS_NS, STARTS_NS)
    state.visit = VisitProgress(
        session,
        visit,
        opened_ns,
        VisitTimes(),
        ahead_of,
        on_move=lambda: told.append("move"),
        on_end=lambda: told.append("end"),
    )
    return state, told


LONG = max(sessions(RULES), key=lambda one: one.last_seq)


def visit_of(**fields):
    usual = {"late": False, "last_seq": LONG.last_seq, "moves_after_seq": -1}
    return LONG.visits[0]._replace(**(usual | fields))


def give(state, events, delay_ns=1_000_000):
    for event in events:
        state.take((event,), event.received_ns + delay_ns, Track(None))


def test_it_leaves_after_its_event_and_what_came_in_the_same_read_is_not_its_own():
    state, told = one_visit(visit_of(last_seq=5), LONG)
    events = list(events_of(LONG))
    state.take(tuple(events), events[-1].received_ns, Track(None))
    assert told == ["end"]
    assert [len(event.arrivals) for event in events] == [1] * 6 + [0] * (len(events) - 6)


def test_it_moves_once_after_its_event():
    state, told = one_visit(visit_of(moves_after_seq=3), LONG)
    give(state, events_of(LONG))
    assert told == ["move", "end"]
    state, told = one_visit(visit_of(moves_after_seq=3), LONG)
    give(state, events_of(LONG, only={0, 1, 7, 8}))
    assert told == ["move"], "also where that very event is missing"


def test_other_bytes_and_doubles_are_noticed():
    state, _ = one_visit(visit_of(), LONG)
    events = list(events_of(LONG))
    events[3].content += "x"
    give(state, [*events[:6], events[2], *events[6:]])
    assert (state.visit.wrong, state.visit.doubled) == (1, 1)


def test_the_first_event_counts_from_the_opening_or_from_when_it_was_due():
    early = next(one for one in sessions(RULES) if one.measured_from == 0)
    due_ns = STARTS_NS + early.due_ns[0]
    for opened_ns in (STARTS_NS, due_ns + 500_000):
        state, _ = one_visit(early.visits[0], early, opened_ns=opened_ns)
        give(state, events_of(early, only={0}))
        arrived_ns = due_ns + 5_000 + 1_000_000 + 1_000_000
        assert list(state.visit._times.first_event_ns) == [arrived_ns - max(due_ns, opened_ns)]


def test_history_is_due_to_a_late_client_from_when_it_came():
    opened_ns = STARTS_NS + LONG.due_ns[10]
    state, _ = one_visit(visit_of(late=True), LONG, opened_ns=opened_ns)
    events = list(events_of(LONG))
    give(state, events)
    for event in events:
        assert event.due_ns >= opened_ns // 1000 * 1000
        assert event.received_ns >= event.sent_ns >= event.due_ns


def test_gaps_are_those_between_neighbours_as_sent_and_as_seen():
    state, _ = one_visit(visit_of(), LONG)
    events = [event for event in events_of(LONG) if event.measured]
    give(state, events[:4], delay_ns=1_000_000)
    give(state, events[4:5], delay_ns=3_000_000)
    give(state, events[7:8])
    times = state.visit._times
    sent = [later.sent_ns - one.sent_ns for one, later in pairwise(events[:5])]
    assert list(times.gap_sent_ns) == sent
    assert list(times.gap_seen_ns) == [*sent[:3], sent[3] + 2_000_000]


@given(st.sets(st.integers(0, 40)), st.integers(0, 45), st.integers(0, 45))
@settings(deadline=None)
def test_lost_plus_received_is_expected(came, first, last):
    track = Track(None)
    for seq in sorted(came):
        track.take(seq)
    lost = lost_of(track, first, last, Cause.TAIL)
    assert sum(lost.values()) == sum(seq not in came for seq in range(first, last + 1))


def test_an_event_of_a_compact_stamp_belongs_to_the_connection_it_came_on():
    (event,) = events_of(LONG, only={0})
    assert isinstance(event, Event)
    assert (event.series.topic, event.server, event.id) == (LONG.topic, "replica-1", "k3f9-0")
    unknown = Feed(SeriesRegistry(), PLAIN).parse(encode_event("m1.1.1 x", id="k3f9-0")).items
    assert "--stamp compact" in unknown[0].reason
