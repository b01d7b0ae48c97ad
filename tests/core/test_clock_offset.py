"""An offset's interval contains the truth whatever the network does, and a clock that was set is detected."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock_offset import SAME, OffsetEstimator, OffsetInterval, interval_of

MS = 1_000_000
S = 1_000_000_000
EVERY_NS = 100 * MS
START_NS = 1_764_000_000 * S


def ahead_ns(at_ns, offset_ns, drift_ppm):
    """How far the simulated clock is ahead of ours."""
    return offset_ns + round((at_ns - START_NS) * drift_ppm / 1e6)


def probed(delays_ms, offset_ns, drift_ppm=0.0, step_at=None, step_ns=0):
    """An estimator after a probe every 100 ms with these delays in both directions, and the instant of the last probe."""
    estimator = OffsetEstimator()
    back_ns = START_NS
    for number, (there_ms, back_ms) in enumerate(delays_ms):
        left_ns = max(back_ns, START_NS + number * EVERY_NS)
        read_ns = left_ns + round(there_ms * MS)
        back_ns = read_ns + round(back_ms * MS)
        stepped_ns = step_ns if step_at is not None and number >= step_at else 0
        estimator.add(left_ns, read_ns + ahead_ns(read_ns, offset_ns, drift_ppm) + stepped_ns, back_ns)
    return estimator, back_ns


@pytest.mark.parametrize(
    ("left_ns", "remote_ns", "back_ns", "middle_ns", "bound_ns"),
    [
        (0, 500, 1000, 0, 500),
        (0, 10_500, 1000, 10_000, 500),
        (2000, 500, 3000, -2000, 500),
        (0, 0, 0, 0, 0),
    ],
)
def test_a_probe_bounds_the_offset(left_ns, remote_ns, back_ns, middle_ns, bound_ns):
    found = interval_of(left_ns, remote_ns, back_ns)
    offset = OffsetInterval(found.low_ns, found.high_ns)
    assert abs(offset.ns - middle_ns) <= 2
    assert bound_ns <= offset.bound_ns <= bound_ns + 3


delays = st.floats(0, 30)


@given(
    st.lists(st.tuples(delays, delays), min_size=1, max_size=120),
    st.integers(-2 * S, 2 * S),
    st.floats(-500, 500),
    st.integers(0, 2 * S),
    st.integers(0, S // 2),
)
def test_the_truth_is_always_within_the_bound(delays_ms, offset_ns, drift_ppm, later_ns, reach_ns):
    estimator, at_ns = probed(delays_ms, offset_ns, drift_ppm)
    now_ns = at_ns + later_ns
    found = estimator.at(now_ns, reach_ns)
    assert not estimator.stepped
    assert found is not None
    assert found.holds(ahead_ns(now_ns, offset_ns, drift_ppm))
    assert found.holds(ahead_ns(now_ns - reach_ns, offset_ns, drift_ppm))


@given(
    st.lists(st.tuples(st.floats(0.05, 2), st.floats(0.05, 2)), min_size=60, max_size=60),
    st.integers(15, 45),
    st.sampled_from([-500, -20, -10, 10, 20, 500]),
)
@pytest.mark.slow
def test_a_clock_that_is_set_is_noticed(delays_ms, step_at, step_ms):
    estimator, _ = probed(delays_ms, 3 * MS, step_at=step_at, step_ns=step_ms * MS)
    assert estimator.stepped


def test_probes_before_a_step_are_forgotten_and_the_step_can_be_reset():
    estimator, at_ns = probed([(0.2, 0.2)] * 60, 0, step_at=30, step_ns=500 * MS)
    assert estimator.stepped
    estimator.forgive()
    found = estimator.at(at_ns)
    assert found is not None
    assert found.holds(500 * MS)
    assert not estimator.stepped


@pytest.mark.parametrize("offset_ms", [-500, -20, 0, 20, 500])
@pytest.mark.parametrize("drift_ppm", [-200, 0, 200])
def test_a_local_network_leaves_some_tenths_of_a_millisecond(offset_ms, drift_ppm):
    estimator, at_ns = probed([(0.2, 0.2), (0.15, 0.3), (3.0, 0.4), (0.2, 5.0)] * 30, offset_ms * MS, drift_ppm)
    found = estimator.at(at_ns)
    assert found is not None
    assert found.holds(ahead_ns(at_ns, offset_ms * MS, drift_ppm))
    assert found.bound_ns < 0.35 * MS


def test_half_the_asymmetry_of_the_way_is_within_the_bound():
    estimator, at_ns = probed([(2.0, 8.0)] * 100, 0)
    found = estimator.at(at_ns)
    assert found is not None
    assert -3.1 * MS < found.ns < -2.9 * MS
    assert 5 * MS <= found.bound_ns < 5.2 * MS


def test_without_probes_nothing_is_known():
    assert OffsetEstimator().at(START_NS) is None


def test_a_clock_of_ours_that_is_set_back_is_noticed():
    estimator, at_ns = probed([(0.2, 0.2)] * 20, 0)
    estimator.add(at_ns - 5 * S, at_ns, at_ns - 5 * S + MS)
    assert estimator.stepped


intervals = st.tuples(st.integers(-S, S), st.integers(0, S)).map(lambda one: OffsetInterval(one[0], one[0] + one[1]))


@given(intervals, intervals, st.data())
def test_differences_and_intersections_contain_the_truth(one, other, data):
    first = data.draw(st.integers(one.low_ns, one.high_ns))
    second = data.draw(st.integers(other.low_ns, other.high_ns))
    assert one.minus(other).holds(first - second)
    both = one.intersect(other)
    if other.holds(first):
        assert both is not None
        assert both.holds(first)
    else:
        assert both is None or not both.holds(first)
    assert SAME.minus(one).holds(-first)
