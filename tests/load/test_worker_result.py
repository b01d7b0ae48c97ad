"""What several processes measured adds up to what one would have measured."""

from hypothesis import given
from hypothesis import strategies as st

from core.histogram import Histogram
from load.ledger import Series, Track
from load.worker_result import (
    Distribution,
    Seen,
    SeqBounds,
    WorkerResult,
    count_union,
    horizon_from_wire,
    horizon_to_wire,
    widest,
)

SEQS = st.lists(st.integers(0, 40), min_size=1)


def seen_of(seqs):
    track = Track(Series("s", "t"))
    for seq in seqs:
        track.take(seq)
    return Seen.of(track)


@given(st.lists(SEQS))
def test_events_seen_by_any_process_count_once(many):
    assert count_union([seen_of(seqs) for seqs in many]) == len({seq for seqs in many for seq in seqs})


def totals_of(deliveries_ns, seqs):
    histogram = Histogram()
    histogram.record_ns(deliveries_ns)
    totals = WorkerResult(first_due_ns=min(deliveries_ns), last_arrival_ns=max(deliveries_ns))
    totals.counts.update(deliveries=len(deliveries_ns), lost=2)
    totals.causes["unexplained"] = 2
    totals.clients["r1", "events"] = 3
    totals.seen["s", "events"] = [seen_of(seqs)]
    totals.servers["r1"] = Distribution(histogram)
    totals.times["fanout"] = Distribution(histogram)
    totals.seconds[17] = Distribution(histogram)
    return totals


def test_totals_survive_the_wire_and_add_up():
    merged = WorkerResult()
    for totals in (totals_of([5_000, 7_000_000], [1, 2]), totals_of([-9, 3_000_000], [2, 5])):
        merged.add(WorkerResult.from_wire(totals.to_wire()))
    assert merged.counts == {"deliveries": 4, "lost": 4}
    assert merged.causes == {"unexplained": 4}
    assert merged.clients == {("r1", "events"): 6}
    assert merged.events() == 3
    assert (merged.first_due_ns, merged.last_arrival_ns) == (-9, 7_000_000)
    assert (merged.latency().count, merged.latency().negative) == (3, 1)
    assert merged.seconds[17].histogram.max_ms() == merged.latency().max_ms()


def test_horizon_is_the_widest_and_survives_the_wire():
    one, two = {("s", "a"): SeqBounds(5, 9)}, {("s", "a"): SeqBounds(3, 8), ("s", "b"): SeqBounds(1, 1)}
    merged = widest([one, two])
    assert merged == {("s", "a"): SeqBounds(3, 9), ("s", "b"): SeqBounds(1, 1)}
    assert horizon_from_wire(horizon_to_wire(merged)) == merged
