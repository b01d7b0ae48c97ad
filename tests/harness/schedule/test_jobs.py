"""Disturbed runs are repeated, and rounds are added until the contenders have enough valid ones in common."""

from dataclasses import replace

import pytest

from brokers.contenders import find_contender
from core.scenario import Scenario
from harness.commands import faults
from harness.commands.compare import plan, rounds_held
from harness.results.run_record import Run
from harness.schedule.retry_queue import REPEATS, SPARE_ROUNDS, RetryQueue
from tests.harness import made_up

SCENARIO = Scenario(rounds=5)
JOBS = plan([find_contender("valkey"), find_contender("nats")], SCENARIO)


def run_of(job, **fields):
    return Run(job.contender.name, job.round, "at-most-once", SCENARIO, **fields)


def done(refuse, jobs=JOBS, spare_rounds=0):
    """The jobs in their order; `refuse(job, order)` returns the result of the run: "", weather, limit, permanent."""
    queue, order = RetryQueue(jobs, spare_rounds=spare_rounds), []
    while (job := queue.next()) is not None:
        order.append(job)
        why = refuse(job, order)
        reasons = {"disturbed": why == "weather", "permanent": why == "permanent", "problems": (why,) if why else ()}
        queue.done(job, run_of(job, **reasons))
        assert len(order) < 500
    assert queue.total == len(order)
    return order


def rounds_of(order, name):
    return [job.round for job in order if job.contender.name == name]


def test_undisturbed_runs_happen_once_and_no_round_is_added():
    assert done(lambda job, order: "", spare_rounds=SPARE_ROUNDS) == JOBS


def test_a_disturbed_run_is_repeated_at_the_end_of_its_round():
    order = done(lambda job, order: "weather" if len(order) == 1 else "")
    assert [job.contender.name for job in order[:3]] == [
        *(job.contender.name for job in JOBS[:2]),
        JOBS[0].contender.name,
    ]
    assert [job.round for job in order[:5]] == [1, 1, 1, 2, 2]
    assert len({job.label for job in order}) == len(order), "each try has a log folder of its own"


def test_a_part_at_its_limit_is_not_tried_again():
    order = done(lambda job, order: "limit" if job.contender.name == "nats" else "", spare_rounds=SPARE_ROUNDS)
    assert order == JOBS


def test_a_permanent_failure_is_tried_once_and_the_others_continue():
    order = done(lambda job, order: "permanent" if job.contender.name == "nats" else "", spare_rounds=SPARE_ROUNDS)
    assert rounds_of(order, "nats") == [1]
    assert rounds_of(order, "valkey") == [1, 2, 3, 4, 5]


def test_a_permanent_failure_is_tried_with_one_fault_only():
    contenders = [find_contender("valkey"), find_contender("nats")]
    matrix = faults.plan(contenders, faults.choose_faults([], 1.0, None, None), SCENARIO.with_fields(rounds=2))
    order = done(lambda job, order: "permanent" if job.contender.name == "nats" else "", matrix)
    assert len(rounds_of(order, "nats")) == 1
    assert len(rounds_of(order, "valkey")) == len(matrix) / 2


def test_a_permanent_failure_over_one_transport_is_tried_over_the_other():
    both = plan([find_contender("valkey")], SCENARIO, ["sse", "ws"])
    order = done(lambda job, order: "permanent" if job.transport == "ws" else "", both)
    assert [job.transport for job in order].count("ws") == 1
    assert [job.transport for job in order].count("sse") == [job.transport for job in both].count("sse")


def test_one_that_never_succeeds_costs_the_tries_of_one_round_and_no_spare_rounds():
    order = done(lambda job, order: "weather" if job.contender.name == "nats" else "", spare_rounds=SPARE_ROUNDS)
    assert rounds_of(order, "valkey") == [1, 2, 3, 4, 5]
    assert rounds_of(order, "nats") == [1] * (1 + REPEATS) + [2, 3, 4, 5]


def test_rounds_are_added_until_enough_are_valid_in_common():
    lost = {("nats", 2), ("valkey", 4), ("nats", 6)}
    order = done(lambda job, order: "weather" if (job.contender.name, job.round) in lost else "", spare_rounds=3)
    valid = [
        {job.round for job in order if (job.contender.name, job.round) not in lost and job.contender.name == name}
        for name in ("nats", "valkey")
    ]
    assert len(set.intersection(*valid)) == 5
    assert max(job.round for job in order) == 8


def test_spare_rounds_are_bounded():
    order = done(lambda job, order: "weather" if job.contender.name == "nats" and job.round > 1 else "", spare_rounds=3)
    assert max(job.round for job in order) == 5 + 3


def test_one_contender_against_itself_gets_five_rounds_of_pairs_on_a_noisy_machine():
    both = plan([find_contender("valkey")] * 2, SCENARIO)
    assert {job.contender.name for job in both} == {"valkey", "valkey#2"}
    order = done(lambda job, order: "weather" if len(order) % 3 else "", both, SPARE_ROUNDS)
    assert all(len(set(rounds_of(order, name))) >= 5 for name in ("valkey", "valkey#2"))


@pytest.mark.parametrize(
    ("valid", "named", "held"),
    [
        ({"valkey": 5, "nats": 5}, True, True),
        ({"valkey": 5, "nats": 4}, True, False),
        ({"valkey": 5, "nats": 5, "rabbitmq": 0}, True, False),
        ({"valkey": 5, "nats": 5, "rabbitmq": 0}, False, True),
        ({"valkey": 5, "nats": 4}, False, False),
        ({"valkey": 4}, False, False),
        ({"valkey": 5}, False, True),
    ],
)
def test_the_exit_code_asks_for_all_rounds_of_those_that_were_named(valid, named, held):
    scenario = made_up.SCENARIO
    runs = [
        Run(name, r, "at-most-once", scenario, problems=() if r <= n else ("noise",))
        for name, n in valid.items()
        for r in range(1, 6)
    ]
    again = [replace(run, problems=("noise",)) for run in runs]
    assert rounds_held(made_up.comparison(again + runs), named=named) is held


def test_nothing_measured_passes_nothing():
    assert not rounds_held(made_up.comparison([]), named=False)
