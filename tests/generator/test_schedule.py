"""Schedules as pure values."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.schedule import DENSE_HZ, NS_PER_S, TICK_NS, Schedule

KINDS = st.sampled_from(["constant", "poisson", "burst"])


@pytest.mark.parametrize(
    ("schedule", "expected_ms"),
    [
        (Schedule("constant", 10), [0, 100, 200, 300]),
        (Schedule("constant", 0.5), [0, 2000, 4000, 6000]),
        (Schedule("burst", 10, burst_events=3), [0, 0, 0, 300, 300, 300, 600]),
        (Schedule("burst", 4, burst_events=1), [0, 250, 500]),
        (Schedule("constant", 2000), [0, 0, 0, 0, 2, 2, 2, 2, 4]),
        (Schedule("burst", 4000, burst_events=10), [0] * 10 + [2] * 10 + [4] * 10 + [6] * 10 + [10] * 10),
    ],
)
def test_offsets(schedule, expected_ms):
    found = list(itertools.islice(schedule.offsets_ns(), len(expected_ms)))
    assert found == [ms * 1_000_000 for ms in expected_ms]


@given(KINDS, st.floats(0.1, 5000), st.integers(1, 50), st.integers(0, 9))
def test_offsets_never_go_back_and_repeat_for_the_same_seed(kind, rate_hz, burst, seed):
    schedule = Schedule(kind, rate_hz, burst, seed)
    found = list(itertools.islice(schedule.offsets_ns(), 200))
    assert found == sorted(found)
    assert found == list(itertools.islice(schedule.offsets_ns(), 200))


@pytest.mark.parametrize("rate_hz", [3, 7, 999.7])
def test_constant_does_not_drift(rate_hz):
    last = next(itertools.islice(Schedule("constant", rate_hz).offsets_ns(), 1_000_000, None))
    assert last == pytest.approx(1_000_000 * NS_PER_S / rate_hz, abs=200)


@given(KINDS, st.floats(DENSE_HZ, 50_000), st.integers(1, 50), st.integers(0, 9))
def test_many_events_are_due_at_ticks_and_none_later_than_its_instant(kind, rate_hz, burst, seed):
    schedule = Schedule(kind, rate_hz, burst, seed)
    found = list(itertools.islice(schedule.offsets_ns(), 500))
    exact = list(itertools.islice(schedule._exact_ns(), 500))
    assert all(offset % TICK_NS == 0 and 0 <= at - offset < TICK_NS for offset, at in zip(found, exact, strict=True))


@given(KINDS, st.floats(0.1, DENSE_HZ, exclude_max=True), st.integers(1, 50))
def test_fewer_events_are_due_at_their_instants(kind, rate_hz, burst):
    schedule = Schedule(kind, rate_hz, burst)
    assert list(itertools.islice(schedule.offsets_ns(), 200)) == list(itertools.islice(schedule._exact_ns(), 200))


@pytest.mark.parametrize("kind", ["constant", "poisson", "burst"])
def test_the_rate_is_the_requested_one(kind):
    count = sum(1 for _ in Schedule(kind, 1000, 10).until_ns(20 * NS_PER_S))
    assert count == pytest.approx(20_000, rel=0.03)


def test_poisson_gaps_are_exponential():
    offsets = list(itertools.islice(Schedule("poisson", 100, seed=3).offsets_ns(), 20_000))
    gaps = [b - a for a, b in itertools.pairwise(offsets)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(NS_PER_S / 100, rel=0.03)
    assert spread == pytest.approx(mean, rel=0.05)  # the exponential's own mark


def test_an_end_is_exclusive():
    assert list(Schedule("constant", 1).until_ns(2 * NS_PER_S)) == [0, NS_PER_S]
