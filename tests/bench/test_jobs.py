"""Runs that the machine disturbed are done again at the end of their round."""

from bench.compare import every_round_valid, plan
from bench.jobs import REPEATS, _with_repeats
from bench.model import Run
from brokers.contenders import find_contender
from core.scenario import Scenario

SCENARIO = Scenario(rounds=2)
JOBS = plan([find_contender("valkey"), find_contender("nats")], SCENARIO)


def done(disturb):
    """The (contender, round) of each run, in order; `disturb` says which are to be done again."""
    order = []
    for job, again in _with_repeats(JOBS):
        order.append((job.contender.name, job.round))
        if disturb(order):
            again(job)
    return order


def test_undisturbed_runs_are_done_once():
    assert done(lambda order: False) == [(job.contender.name, job.round) for job in JOBS]


def test_a_disturbed_run_comes_again_at_the_end_of_its_round():
    order = done(lambda order: len(order) == 1)
    first = order[0]
    assert order[:3] == [*[(job.contender.name, 1) for job in JOBS[:2]], first]
    assert [round_ for _, round_ in order] == [1, 1, 1, 2, 2]


def test_it_is_given_up_after_some_tries():
    order = done(lambda order: True)
    assert len(order) == len(JOBS) * (1 + REPEATS)


def test_each_try_has_a_log_folder_of_its_own():
    labels = []
    for job, again in _with_repeats(JOBS):
        labels.append(job.label)
        again(job)
    assert len(set(labels)) == len(labels)


def test_a_round_counts_once_one_of_its_runs_is_valid():
    good = Run("valkey", 1, "at-most-once", SCENARIO)
    bad = Run("valkey", 1, "at-most-once", SCENARIO, problems=("noise",))
    other = Run("valkey", 2, "at-most-once", SCENARIO, problems=("noise",))
    assert every_round_valid([bad, good])
    assert not every_round_valid([bad, good, other])
