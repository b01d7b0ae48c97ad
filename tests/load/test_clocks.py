"""If replica, generator and client have different clocks, hops are corrected within the bound, or named."""

import numpy as np
import pytest

from core.clock_offset import OffsetInterval
from core.histogram import Histogram
from core.host_clock import ClockMark, HostClock, short_name
from load.clock_correction import GENERATOR, ClockCorrection
from load.clock_problems import clock_problems, comparison, wide_bounds
from load.clock_tally import ClockTally
from load.clocks import KnownClocks
from load.frames import Event
from load.latency_recorder import LatencyRecorder
from load.ledger import Series

MS = 1_000_000
S = 1_000_000_000
SERIES = Series("s", "events")


def elsewhere(ahead_ms):
    """A clock of another host."""
    return HostClock("other0", HostClock.read().boot_ns + int(ahead_ms * MS))


def ask(known, server, clock, ahead_ms, now_ns, rtt_ms=0.4):
    """A second of probes; the last one ends now."""
    for number in range(10, -1, -1):
        left_ns = now_ns - number * 100 * MS - int(rtt_ms * MS)
        remote_ns = left_ns + int((ahead_ms + rtt_ms / 2) * MS)
        known.heard(server, clock, (left_ns, remote_ns, left_ns + int(rtt_ms * MS)))


def event(now_ns, server="replica-1", content="", replica_ahead_ms=0.0, generator_ahead_ms=0.0):
    """Due 30 ms, sent 29 ms and received 20 ms ago; it arrives now."""
    one = Event(SERIES, 0, True, server, "s-0")
    one.due_ns = now_ns + int((generator_ahead_ms - 30) * MS)
    one.sent_ns = now_ns + int((generator_ahead_ms - 29) * MS)
    one.received_ns = now_ns + int((replica_ahead_ms - 20) * MS)
    one.content = content
    one.arrived(now_ns)
    return one


def folded(clocks, now_ns, *events):
    """The p50 of each hop in milliseconds."""
    recorder = LatencyRecorder(clocks)
    recorder.fold(events)
    spans = {name: recorder.spans[name].percentile_ms(50) for name in ("schedule", "broker", "fanout", "since_sent")}
    return spans | {"latency": recorder.servers[events[0].server].percentile_ms(50)}


TRUE_MS = {"schedule": 1.0, "broker": 9.0, "fanout": 20.0, "since_sent": 29.0, "latency": 30.0}


@pytest.mark.parametrize("replica_ms", [-500, -20, 20, 500])
@pytest.mark.parametrize("generator_ms", [-500, 0, 20])
def test_every_hop_is_corrected_within_its_bound(now_ns, replica_ms, generator_ms):
    clocks = ClockCorrection()
    ask(clocks.known, "replica-1", elsewhere(replica_ms), replica_ms, now_ns)
    apart_ns = int((replica_ms - generator_ms) * MS)
    compared = OffsetInterval(apart_ns - 100_000, apart_ns + 100_000)
    clock = HostClock("third0", 1) if generator_ms else HostClock.read()
    mark = ClockMark(clock, short_name("replica-1"), compared).encode()
    found = folded(clocks, now_ns, event(now_ns, "replica-1", mark, replica_ms, generator_ms))
    bounds = comparison(clocks.finish(now_ns)).bounds_ms
    assert 0.2 <= bounds["fanout"] < 0.5
    if generator_ms:  # otherwise it is on this host
        assert bounds["fanout"] < bounds["latency"] < bounds["broker"]
    for span, true_ms in TRUE_MS.items():
        assert found[span] == pytest.approx(true_ms, abs=bounds.get(span, bounds["latency"]) + 0.05), span
    assert clock_problems(clocks.tally) == []


@pytest.fixture
def now_ns():
    import time

    return time.time_ns()


def test_on_one_host_nothing_is_corrected(now_ns):
    clocks = ClockCorrection()
    ask(clocks.known, "replica-1", HostClock.read(), 0.0, now_ns)
    found = folded(clocks, now_ns, event(now_ns, content=ClockMark(HostClock.read()).encode()))
    assert found == pytest.approx(TRUE_MS, rel=0.01)
    told = comparison(clocks.finish(now_ns))
    assert (told.reference, told.offsets, told.bounds_ms) == ("replica-1", {}, {})


def test_a_generator_on_the_replicas_host_needs_no_comparison(now_ns):
    clocks = ClockCorrection()
    ask(clocks.known, "replica-1", elsewhere(500), 500.0, now_ns)
    found = folded(clocks, now_ns, event(now_ns, "replica-1", ClockMark(elsewhere(500)).encode(), 500, 500))
    told = comparison(clocks.finish(now_ns))
    assert told.bounds_ms["broker"] == 0
    assert found["broker"] == pytest.approx(9.0, rel=0.01)
    assert found["latency"] == pytest.approx(30.0, abs=told.bounds_ms["latency"] + 0.05)


def test_the_offsets_are_relative_to_the_lowest_name(now_ns):
    clocks = ClockCorrection()
    ask(clocks.known, "replica-2", elsewhere(-20), -20.0, now_ns)
    ask(clocks.known, "replica-1", elsewhere(500), 500.0, now_ns)
    folded(clocks, now_ns, event(now_ns, "replica-2", ClockMark(HostClock.read()).encode(), -20))
    told = comparison(clocks.finish(now_ns))
    assert told.reference == "replica-1"
    assert told.offsets["replica-2"].ahead_ms == pytest.approx(-520, abs=told.offsets["replica-2"].bound_ms)
    assert told.offsets[GENERATOR].ahead_ms == pytest.approx(-500, abs=told.offsets[GENERATOR].bound_ms)


def problems_of(clocks, now_ns, *events):
    folded(clocks, now_ns, *events)
    return clock_problems(clocks.finish(now_ns))


def test_a_generator_that_nobody_can_compare_is_a_problem(now_ns):
    clocks = ClockCorrection()
    ask(clocks.known, "replica-1", HostClock.read(), 0.0, now_ns)
    (said,) = problems_of(clocks, now_ns, event(now_ns, content=ClockMark(HostClock("third0", 1)).encode()))
    assert "FANBENCH_REPLICAS" in said


def test_a_generator_without_a_mark_counts_as_local_only_if_all_replicas_are(now_ns):
    clocks = ClockCorrection()
    ask(clocks.known, "replica-1", HostClock.read(), 0.0, now_ns)
    assert problems_of(clocks, now_ns, event(now_ns)) == []
    ask(clocks.known, "replica-2", elsewhere(5), 5.0, now_ns)
    (said,) = problems_of(clocks, now_ns, event(now_ns))
    assert "latency and broker hop are not known" in said


def test_a_replica_without_a_known_clock_is_a_problem(now_ns):
    clocks = ClockCorrection()
    ask(clocks.known, "replica-1", HostClock.read(), 0.0, now_ns)
    (said,) = problems_of(clocks, now_ns, event(now_ns, "replica-9"))
    assert "1 deliveries of replica-9" in said
    ask(clocks.known, "replica-9", HostClock.read(), 0.0, now_ns)
    assert clock_problems(clocks.finish(now_ns)) == []


def test_servers_without_a_clock_are_measured_as_they_are(now_ns):
    clocks = ClockCorrection()
    clocks.known.without_clock = True
    assert problems_of(clocks, now_ns, event(now_ns)) == []
    assert comparison(clocks.tally) is None


def test_a_replica_whose_clock_was_set_is_a_problem(now_ns):
    clocks = ClockCorrection()
    ask(clocks.known, "replica-1", HostClock.read(), 0.0, now_ns)
    ask(clocks.known, "replica-1", HostClock(HostClock.read().host, HostClock.read().boot_ns + S), 1000.0, now_ns + S)
    assert any("the clock of replica-1 was set" in said for said in clock_problems(clocks.finish(now_ns + S)))
    clocks.restart()
    assert clock_problems(clocks.finish(now_ns + S)) == []


def test_a_generator_whose_clock_was_set_is_a_problem(now_ns):
    clocks = ClockCorrection()
    own = HostClock.read()
    ask(clocks.known, "replica-1", own, 0.0, now_ns)
    marks = [ClockMark(own).encode(), ClockMark(HostClock(own.host, own.boot_ns + 20 * MS)).encode()]
    said = problems_of(clocks, now_ns, *(event(now_ns, content=mark) for mark in marks))
    assert any("the clock of the generator was set by +20.0 ms" in one for one in said)


@pytest.mark.parametrize(
    ("lowest_ms", "bound_ms", "refused"), [(-0.3, 0.4, False), (-0.5, 0.4, True), (-0.001, 0.0, True)]
)
def test_a_negative_duration_counts_if_it_is_beyond_the_bound(lowest_ms, bound_ms, refused):
    tally = ClockTally()
    tally.note_bound("fanout", int(bound_ms * MS))
    tally.note_lowest("fanout", int(lowest_ms * MS))
    assert bool(clock_problems(tally)) is refused


@pytest.mark.parametrize(("bound_ms", "refused"), [(0.0, False), (0.9, False), (1.1, True)])
def test_a_bound_over_a_tenth_of_the_median_refuses(bound_ms, refused):
    tally = ClockTally()
    tally.note_bound("latency", int(bound_ms * MS))
    latency = Histogram()
    latency.record_ns(np.full(100, 10 * MS))
    said = wide_bounds(tally, {"latency": latency})
    assert (said is not None) is refused
    if said:
        assert "latency p50 10.0" in said


def test_tallies_of_several_processes_add_up():
    one, other = ClockTally(), ClockTally(reference="a")
    one.add(ClockTally(reference="a"))
    one.note_bound("broker", 5)
    other.note_bound("broker", 7)
    one.note_lowest("latency", -3)
    other.note_set("replica-1", -9)
    other.uncompared["x"] += 2
    one.offsets["r2"], other.offsets["r2"] = OffsetInterval(0, 9), OffsetInterval(4, 12)
    one.add(other)
    assert one.offsets == {"r2": OffsetInterval(4, 9)}
    assert (one.reference, one.bounds_ns, one.lowest_ns, one.were_set) == (
        "a",
        {"broker": 7},
        {"latency": -3},
        {"replica-1": -9},
    )
    assert one.uncompared["x"] == 2


@pytest.mark.parametrize("turned", [False, True])
def test_offsets_against_another_reference_are_not_mixed_in(turned):
    low = ClockTally(reference="a", offsets={"r2": OffsetInterval(0, 9)})
    high = ClockTally(reference="b", offsets={"r2": OffsetInterval(100, 109), "r3": OffsetInterval(1, 2)})
    together = ClockTally()
    for one in (high, low) if turned else (low, high):
        together.add(one)
    assert (together.reference, together.offsets) == ("a", {"r2": OffsetInterval(0, 9)})


def test_a_clock_that_drifts_from_ours_is_compared_from_then_on(now_ns):
    known = KnownClocks(HostClock.read())
    ask(known, "replica-1", HostClock.read(), 0.0, now_ns)
    assert known.all_one
    ask(known, "replica-1", HostClock.read(), 3.0, now_ns + S)
    assert not known.all_one
    assert known.stepped() == ["replica-1"]
