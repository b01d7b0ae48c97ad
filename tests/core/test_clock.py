"""The wall clock steps while it is watched, and each step must be found with its full size."""

import time

import pytest

from core.clock import MAX_STEP_NS, ClockPair, ClockWatch

STEP_NS = 10_000_000
SLACK_NS = 4_000_000  # the distance between readings of two clocks on a busy machine, five times in a row


class Stepped:
    """`time.time_ns`, set forward or back."""

    def __init__(self, real):
        self._real = real
        self.by_ns = 0

    def __call__(self):
        return self._real() + self.by_ns


@pytest.fixture
def wall(monkeypatch):
    stepped = Stepped(time.time_ns)
    monkeypatch.setattr(time, "time_ns", stepped)
    return stepped


@pytest.mark.parametrize("step_ns", [STEP_NS, -STEP_NS])
def test_a_step_is_the_wall_clocks_against_the_monotonic_one(step_ns, wall):
    before = ClockPair.read()
    wall.by_ns = step_ns
    assert before.step_ns(ClockPair.read()) == pytest.approx(step_ns, abs=SLACK_NS)


def test_a_clock_that_runs_evenly_has_no_step():
    before = ClockPair.read()
    assert abs(before.step_ns(ClockPair.read())) <= MAX_STEP_NS


@pytest.mark.parametrize("step_ns", [STEP_NS, -STEP_NS])
def test_a_clock_set_and_set_back_is_found(step_ns, wall):
    watch = ClockWatch()
    watch.look()
    assert abs(watch.farthest_ns) <= SLACK_NS
    wall.by_ns = step_ns
    watch.look()
    wall.by_ns = 0
    watch.look()
    assert watch.farthest_ns == pytest.approx(step_ns, abs=SLACK_NS)


def test_an_interrupted_reading_shows_no_step(monkeypatch):
    # Every second reading of the monotonic clock is 50 ms late, except one.
    moments = iter([0, 50_000_000, 50_000_000, 50_000_010] + [100_000_000, 150_000_000] * 3)
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(moments))
    monkeypatch.setattr(time, "time_ns", lambda: 7)
    assert ClockPair.read() == ClockPair(7, 50_000_005)
