"""The ledger agrees with tables and with a simple, slow model."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.contracts.load_result import Cause
from load.ledger import Delivery, Series, Track


def track_of(seqs):
    track = Track(Series("s", "t"))
    return track, [track.take(seq) for seq in seqs]


@pytest.mark.parametrize(
    ("seqs", "lost", "doubles", "late"),
    [
        ([0, 1, 2, 3], 0, 0, 0),
        ([7, 8, 9], 0, 0, 0),
        ([0, 1, 3], 1, 0, 0),
        ([0, 9], 8, 0, 0),
        ([0, 2, 1, 3], 0, 0, 1),
        ([0, 3, 1, 2], 0, 0, 2),
        ([0, 1, 1, 1, 2], 0, 2, 0),
        ([0, 2, 1, 1], 0, 1, 1),
        ([5, 2, 6], 2, 0, 1),
        ([5, 4, 4], 0, 1, 1),
        ([0, 4, 2], 2, 0, 1),
        ([0, 10, 5, 5, 3, 7], 6, 1, 3),
    ],
)
def test_table(seqs, lost, doubles, late):
    track, verdicts = track_of(seqs)
    assert sum(track.lost(0, 20_000, None).values()) == lost
    assert verdicts.count(Delivery.DOUBLE) == doubles
    assert verdicts.count(Delivery.LATE) == late


@given(st.lists(st.integers(0, 30), min_size=1), st.integers(0, 30), st.integers(-30, 40))
def test_any_sequence_agrees_with_a_set(seqs, low, beyond):
    track, verdicts = track_of(seqs)
    seen: set[int] = set()
    expected = []
    for seq in seqs:
        expected.append(Delivery.DOUBLE if seq in seen else Delivery.LATE if seen and seq < max(seen) else Delivery.NEW)
        seen.add(seq)
    assert verdicts == expected
    assert track.count() == len(seen)
    middle = {seq for seq in range(min(seen), max(seen)) if seq not in seen and seq >= low}
    assert sum(track.lost(low, 40, None).values()) == len(middle)
    high = max(seen) + beyond
    middle = {seq for seq in middle if seq <= high}
    tail = {seq for seq in range(max(seen) + 1, high + 1) if seq >= low}
    assert sum(track.lost(low, high, Cause.TAIL).values()) == len(middle) + len(tail)
    assert track.lost(low, high, Cause.TAIL).get(Cause.TAIL, 0) == len(tail)


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from([None, *Cause]))))
def test_each_hole_is_charged_to_what_was_known_when_it_opened(steps):
    track = Track(Series("s", "t"))
    charged: dict[int, Cause] = {}
    seen: set[int] = set()
    known = None
    for seq, cause in steps:
        if cause is not None:
            track.expect(cause)
            known = known or cause
        if seen and seq > max(seen):
            charged |= dict.fromkeys(range(max(seen) + 1, seq), known or Cause.UNEXPLAINED)
        if seen and seq < min(seen):
            charged |= dict.fromkeys(range(seq + 1, min(seen)), Cause.UNEXPLAINED)
        if not seen or seq > max(seen):
            known = None if seen else known
        track.take(seq)
        seen.add(seq)
        charged.pop(seq, None)
    expected = {cause: list(charged.values()).count(cause) for cause in charged.values()}
    assert track.lost(0, 20_000, None) == expected


@given(st.lists(st.integers(0, 10_000), unique=True, min_size=1))
def test_memory_is_bounded_by_the_holes(seqs):
    track, _ = track_of(seqs)
    spans = track.missing or []
    assert all(a.last + 1 < b.first for a, b in pairwise(spans))
    assert all(span.first <= span.last for span in spans)


def test_series_bounds_are_those_of_the_measured_events():
    series = Series("s", "t")
    for seq in (12, 10, 15):
        series.note(seq)
    assert (series.low_seq, series.high_seq, series.seen.count()) == (10, 15, 3)
