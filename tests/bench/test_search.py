"""The capacity search against obvious and noisy oracles."""

import random

from hypothesis import given
from hypothesis import strategies as st

from bench.search import Bounds, largest_that_holds


@given(st.integers(1, 100_000), st.integers(1, 50_000), st.sampled_from([0.05, 0.1, 0.3]))
def test_finds_the_limit_of_a_steady_system_within_its_precision(limit, start, precision):
    bounds = Bounds(start=start, least=1, most=100_000, precision=precision, max_probes=80)
    answer = largest_that_holds(lambda load: load <= limit, bounds)
    assert answer.confirmed
    assert answer.held <= limit
    if limit == 100_000:
        assert answer.broke is None
        assert "no bound found" in answer.note
    else:
        assert answer.broke > limit
        assert answer.broke <= max(answer.held * (1 + precision), answer.held + 1)
        assert answer.note == ""


def test_the_answer_and_the_step_above_are_run_again():
    answer = largest_that_holds(lambda load: load <= 700, Bounds(start=100, least=1, most=10_000))
    assert answer.probes.count((answer.held, True)) >= 3
    assert answer.probes.count((answer.broke, False)) >= 2


def test_nothing_holds():
    answer = largest_that_holds(lambda load: False, Bounds(start=64, least=2, most=100))
    assert (answer.held, answer.confirmed) == (None, False)
    assert "even the least load, 2" in answer.note


@given(st.integers(0, 200))
def test_a_noisy_system_ends_and_the_answer_held_every_time_after_it_was_chosen(seed):
    rng = random.Random(seed)

    def holds(load):
        return rng.random() > (load - 500) / 500  # certain below 500, never above 1000

    answer = largest_that_holds(holds, Bounds(start=100, least=1, most=10_000, max_probes=60))
    assert len(answer.probes) <= 60
    if answer.confirmed:
        assert answer.held <= 1000
        assert [held for load, held in answer.probes if load == answer.held][-1]
    else:
        assert answer.note


def test_it_stops_when_runs_are_used_up():
    answer = largest_that_holds(lambda load: load <= 5000, Bounds(start=1, least=1, most=10_000, max_probes=3))
    assert len(answer.probes) == 3
    assert not answer.confirmed
    assert "3 runs" in answer.note
