"""The measurements of several processes add up to what one process would have measured."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock_offset import OffsetInterval
from core.contracts.codec import decode, encode
from core.contracts.load_result import Cause
from core.histogram import Histogram
from load.clock_tally import ClockTally
from load.ledger import Series, Track
from load.messages import Saw, bounds_of, horizon_from
from load.second_counts import SecondCounts
from load.totals import Totals
from load.worker_result import Seen, SeqBounds, SeriesKey, ServerTopic, Tally, WorkerResult, count_union, widest

SEQS = st.lists(st.integers(0, 40), min_size=1)


def seen_of(seqs):
    track = Track(Series("s", "t"))
    for seq in seqs:
        track.take(seq)
    return Seen.of(track)


@given(st.lists(SEQS))
def test_events_seen_by_any_process_count_once(many):
    assert count_union([seen_of(seqs) for seqs in many]) == len({seq for seqs in many for seq in seqs})


def result_of(deliveries_ns, seqs, second=17):
    histogram = Histogram()
    histogram.record_ns(deliveries_ns)
    result = WorkerResult(first_due_ns=min(deliveries_ns), last_arrival_ns=max(deliveries_ns))
    result.tally = Tally(users=3, deliveries=len(deliveries_ns))
    result.causes[Cause.UNEXPLAINED] = 2
    result.clients[ServerTopic("r1", "events")] = 3
    result.seen[SeriesKey("s", "events")] = [seen_of(seqs)]
    result.servers["r1"] = histogram
    result.spans["fanout"] = histogram
    result.seconds.add(second, histogram)
    result.clocks = ClockTally("r1", {"r2": OffsetInterval(-5, 7)})
    result.clocks.note_bound("fanout", 4)
    result.clocks.uncompared["r9"] = 1
    return result


def over_the_wire(result):
    return decode(Totals, encode(Totals.of(7, 0, result)), "totals").result()


def test_results_survive_the_wire_and_add_up():
    merged = WorkerResult()
    for result in (result_of([5_000, 7_000_000], [1, 2]), result_of([-9, 3_000_000], [2, 5]), result_of([1], [2], 18)):
        merged.add(over_the_wire(result))
    assert merged.tally == Tally(users=9, deliveries=5)
    assert (merged.causes, merged.lost) == ({Cause.UNEXPLAINED: 6}, 6)
    assert merged.clients == {("r1", "events"): 9}
    assert merged.clocks == ClockTally(
        "r1", {"r2": OffsetInterval(-5, 7)}, bounds_ns={"fanout": 4}, uncompared=Counter(r9=3)
    )
    assert merged.events() == 3
    assert merged.horizon() == {("s", "events"): SeqBounds(1, 5)}
    assert (merged.first_due_ns, merged.last_arrival_ns) == (-9, 7_000_000)
    assert (merged.latency().count, merged.latency().negative) == (4, 1)
    first, second = merged.seconds.seconds()
    assert (first.second, second.second) == (17, 18)
    assert first.histogram().max_ms() == merged.latency().max_ms()
    assert (first.histogram().count, first.negative, second.histogram().count) == (3, 1, 1)


LATENCIES = st.lists(st.integers(-5, 4 * 10**12), max_size=20)


@pytest.mark.slow
@given(st.lists(st.lists(st.tuples(st.integers(0, 4), LATENCIES), max_size=6), max_size=4))
def test_seconds_add_up_to_what_one_process_would_have_counted(processes):
    one = {}
    summed = SecondCounts()
    for process in processes:
        counts = SecondCounts()
        for second, latencies_ns in process:
            histogram = Histogram()
            histogram.record_ns(latencies_ns)
            counts.add(second, histogram)
            one.setdefault(second, Histogram()).merge(histogram)
        summed.merge(SecondCounts.decode(counts.encode()))
    found = {row.second: row.histogram() for row in summed.seconds()}
    assert {second: (h.negative, h.counts().tolist(), h.summary_ms()) for second, h in found.items()} == {
        second: (h.negative, h.counts().tolist(), h.summary_ms()) for second, h in one.items()
    }


@pytest.mark.parametrize("text", ["", "AAAA", "no base64"])
def test_an_invalid_duration_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        SecondCounts.decode(text)


def test_horizon_is_the_widest_and_survives_the_wire():
    one = {SeriesKey("s", "a"): SeqBounds(5, 9)}
    two = {SeriesKey("s", "a"): SeqBounds(3, 8), SeriesKey("s", "b"): SeqBounds(1, 1)}
    merged = widest([one, two])
    assert merged == {("s", "a"): SeqBounds(3, 9), ("s", "b"): SeqBounds(1, 1)}
    saw = decode(Saw, encode(Saw(test=7, bounds=bounds_of(merged))), "saw")
    assert horizon_from(saw.bounds) == merged
