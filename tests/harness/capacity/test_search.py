"""The capacity search with obvious and noisy oracles."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.capacity.search import Search, SearchBounds


def search(holds, *, most=10_000, start=100, least=1, precision=0.1, runs=80):
    """A search that has time for `runs` runs."""
    found = Search(
        holds, SearchBounds(start, least, most, precision), lambda more: len(found.answer.probes) + more <= runs
    )
    return found


def answer(holds, **options):
    return search(holds, **options).run()


@given(st.integers(1, 100_000), st.integers(1, 50_000), st.sampled_from([0.05, 0.1, 0.3]))
def test_finds_the_limit_of_a_steady_system_within_its_precision(limit, start, precision):
    found = answer(lambda load: load <= limit, most=100_000, start=start, precision=precision)
    assert found.confirmed
    assert found.held <= limit
    if limit == 100_000:
        assert found.broke is None
        assert "no limit found" in found.note
    else:
        assert found.broke > limit
        assert found.broke <= max(found.held * (1 + precision), found.held + 1)
        assert found.note == ""


def test_the_answer_and_the_step_above_are_run_again():
    found = answer(lambda load: load <= 700)
    assert found.outcomes(found.held) == [True] * 3
    assert found.outcomes(found.broke) == [False] * 2


def test_no_load_holds():
    found = answer(lambda load: False, start=64, least=2, most=100)
    assert (found.held, found.confirmed) == (None, False)
    assert "even the smallest load, 2" in found.note


@given(st.integers(0, 200))
def test_a_noisy_system_ends_and_the_answer_held_every_time_after_it_was_chosen(seed):
    rng = random.Random(seed)

    def holds(load):
        return rng.random() > (load - 500) / 500  # always below 500, never above 1000

    found = answer(holds, runs=60)
    assert len(found.probes) <= 60
    if found.confirmed:
        assert found.held <= 1000
        assert found.outcomes(found.held)[-3:] == [True] * 3
        assert False in found.outcomes(found.broke)
    else:
        assert found.note


def breaking_also(numbers, limit=700):
    """Passes up to `limit`, but the runs with these numbers fail at any load."""
    done = []

    def holds(load):
        done.append(load)
        return load <= limit and len(done) not in numbers

    return holds


def test_one_chance_failure_does_not_lower_the_answer():
    found = answer(breaking_also({2}))  # 200 fails in its first run
    assert found.confirmed
    assert found.held <= 700 < found.broke
    assert found.outcomes(200).count(False) == 1
    assert found.held > 600


def test_a_load_that_fails_when_repeated_is_not_the_answer_and_is_not_retried_forever():
    steady = answer(lambda load: load <= 700)
    _, again, _ = (number for number, (load, _) in enumerate(steady.probes, 1) if load == steady.held)
    found = answer(breaking_also({again}))
    assert found.confirmed
    assert found.held < steady.held
    assert found.broke == steady.held
    assert found.outcomes(found.broke) == [True, False]


@pytest.mark.parametrize("runs", range(1, 14))
def test_with_little_time_the_answer_is_coarse_and_still_confirmed(runs):
    found = answer(lambda load: load <= 5000, runs=runs)
    assert len(found.probes) <= runs
    if runs >= 10:  # six doublings, one break, three to confirm
        assert found.confirmed
        assert found.outcomes(found.held) == [True] * 3
        assert found.held <= 5000 < found.broke
    if found.broke is None or found.broke > 1.1 * found.held:
        assert "the time was up" in found.note


def test_findings_remain_when_a_run_is_interrupted():
    def holds(load):
        if load > 1000:
            raise KeyboardInterrupt
        return True

    interrupted = search(holds, start=500)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()
    assert (interrupted.answer.held, interrupted.answer.broke, interrupted.answer.confirmed) == (1000, None, False)


def test_runs_that_could_not_be_judged_are_no_limit():
    found = answer(lambda load: True if load <= 700 else None)
    assert found.held <= 700 < found.broke
    assert not found.confirmed
    assert found.note == f"no run at {found.broke:,} could be judged"


def test_where_no_run_could_be_judged_the_smallest_load_is_not_said_to_break():
    found = answer(lambda load: None, start=64, least=2, most=100)
    assert found.held is None
    assert found.note == "no limit found: no run at the smallest load, 2, could be judged"
