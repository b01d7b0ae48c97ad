"""A comparison of sessions continues with runs in which a replica dies; others do not."""

import pytest

from brokers.contenders import find_contender
from core.scenario import Scenario
from harness.commands.compare import plan
from harness.results.answer import run_json
from harness.results.run_record import Run
from harness.schedule.retry_queue import RetryQueue

SESSIONS = Scenario(name="tokens", topic_arrivals_hz=1.5, stamp="compact", warmup_s=15, duration_s=30, rounds=7)
TWO = [find_contender("valkey"), find_contender("valkey-streams")]


def killed(jobs):
    return [job for job in jobs if job.scenario.faults]


def test_each_contender_goes_through_the_death_of_a_replica_after_all_ranked_rounds():
    jobs = plan(TWO, SESSIONS)
    broken = killed(jobs)
    assert jobs[-len(broken) :] == broken
    assert {(job.contender.name, job.round) for job in broken} == {
        (contender.name, number) for contender in TWO for number in range(8, 13)
    }
    (scenario,) = {job.scenario.model_dump_json() for job in broken}
    read = Scenario.model_validate_json(scenario)
    assert [fault.kind for fault in read.faults] == ["replica-kill"]
    assert read.sessions is not None
    assert read.duration_s > read.faults[0].at_s + read.faults[0].lasting_s


def test_never_more_rounds_of_it_than_of_the_comparison():
    assert len(killed(plan(TWO, SESSIONS.with_fields(rounds=2)))) == 4


@pytest.mark.parametrize(
    "scenario",
    [Scenario(rounds=5), SESSIONS.with_fields(faults=[{"kind": "broker-stop", "at_s": 1, "for_s": 1}])],
    ids=["no sessions", "faults of its own"],
)
def test_other_comparisons_inject_no_fault(scenario):
    assert {job.scenario.faults for job in plan(TWO, scenario)} == {scenario.faults}


def test_what_cannot_succeed_is_not_tried_with_the_death_of_a_replica_either():
    queue, done = RetryQueue(plan(TWO, SESSIONS)), []
    while (job := queue.next()) is not None:
        done.append(job)
        permanent = job.contender.name == "valkey"
        problems = ("no such library",) if permanent else ()
        queue.done(job, Run(job.contender.name, job.round, "", SESSIONS, problems=problems, permanent=permanent))
    assert [job.round for job in done if job.contender.name == "valkey"] == [1]
    assert len(killed([job for job in done if job.contender.name != "valkey"])) == 5


def test_a_program_that_reads_the_answer_can_tell_these_runs_from_the_others():
    jobs = plan(TWO, SESSIONS)
    assert {run_json(Run("valkey", 1, "", job.scenario))["fault"] for job in (jobs[0], jobs[-1])} == {
        "",
        "replica-kill",
    }
