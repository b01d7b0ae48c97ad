"""Runs side by side: which lane does which, and what happens to a run whose lane ends."""

import os
import signal
from dataclasses import replace
from multiprocessing.connection import wait

import psutil
import pytest
from rich.console import Console

from brokers.contenders import cluster_contenders, find_contender
from core.errors import UsageError
from core.fault import Fault
from core.resources import resource_folder
from core.scenario import Scenario, load_scenario
from harness.commands import faults
from harness.results.load import load_results
from harness.runner import faults as runner_faults
from harness.schedule.attempts import Board, FirstRound, progress_on
from harness.schedule.jobs import start_results
from harness.schedule.lane import LanePhase
from harness.schedule.lanes import LaneProcess, cluster_of, run_in_lanes, seconds, split, started_lanes
from harness.schedule.retry_queue import REPEATS, Job, RetryQueue
from tests.waiting import wait_until

SCENARIO = Scenario(rounds=5)
EVERY = faults.plan(
    cluster_contenders(), [Fault(kind=kind) for kind in ("leader-kill", "follower-kill", "cluster-kill")], SCENARIO
)
NOT_NODES = faults.plan([find_contender("valkey")], [Fault(kind="broker-kill")], SCENARIO)
SCENARIO_OF_FAULTS = load_scenario("faults", resource_folder("scenarios")).with_fields(rounds=5)
TINY = Scenario(clients=2, replicas=1, rate_hz=5, warmup_s=0, duration_s=60)


def test_each_job_is_in_one_lane_in_its_order_and_what_shares_a_cluster_stays_together():
    lanes = split(EVERY, 2)
    assert sorted(job.label for lane in lanes for job in lane) == sorted(job.label for job in EVERY)
    for lane in lanes:
        assert lane == [job for job in EVERY if job in lane]
        assert [job.round for job in lane] == sorted(job.round for job in lane)
    assert not {*map(cluster_of, lanes[0])} & {*map(cluster_of, lanes[1])}


def test_the_lanes_take_about_as_long():
    first, second = map(seconds, split(EVERY, 2))
    assert abs(first - second) < 0.2 * max(first, second)


def test_every_fault_of_nodes_is_planned_within_two_hours_and_the_death_of_leaders_within_twenty_minutes(monkeypatch):
    monkeypatch.setattr(runner_faults, "why_not", lambda: None)
    every = faults.choose_faults([], 2.0, None, None, contenders=cluster_contenders())
    for kinds, minutes in ((every, 120), ([Fault(kind="leader-kill")], 20)):
        jobs = faults.plan(cluster_contenders(), kinds, SCENARIO_OF_FAULTS)
        assert minutes / 3 < max(map(seconds, split(jobs, 2))) / 60 < minutes


def test_one_cluster_is_one_lane_and_its_cuts_which_have_networks_of_their_own_another():
    kinds = [Fault(kind="leader-kill"), Fault(kind="leader-cut")]
    contender = find_contender("valkey-sentinel")
    jobs = [Job(contender, SCENARIO.with_fields(faults=(kind,)), 1, kind.kind) for kind in kinds]
    assert split(jobs[:1], 2) == [jobs[:1]]
    assert sorted(split(jobs, 2), key=repr) == sorted([[jobs[0]], [jobs[1]]], key=repr)


@pytest.mark.parametrize(("cores", "lanes"), [(0.5, 1), (1.0, 1), (1.5, 1), (2.0, 2), (16.0, 2)])
def test_faults_of_nodes_are_done_in_two_lanes_where_there_are_two_cores(cores, lanes, monkeypatch):
    monkeypatch.setattr(faults, "usable_cores", lambda: cores)
    assert faults.lanes_for(EVERY, None) == lanes
    assert faults.lanes_for(NOT_NODES, None) == 1
    assert faults.lanes_for(EVERY, 1) == 1


def test_lanes_that_would_change_the_figures_are_refused_with_the_reason(monkeypatch):
    monkeypatch.setattr(faults, "usable_cores", lambda: 2.0)
    with pytest.raises(UsageError, match=r"--lanes 3: this machine has 2 cores.*give 2 at most"):
        faults.lanes_for(EVERY, 3)
    with pytest.raises(UsageError, match=r"--lanes 2: only faults of nodes.*leave --lanes out"):
        faults.lanes_for([*EVERY, *NOT_NODES], 2)


def test_the_first_round_tells_how_long_all_take_once_every_lane_is_through_it():
    first = FirstRound(rounds=5, boards=2)
    assert first.over() is None
    assert first.over().endswith("about 0 min for all 5")
    assert FirstRound(rounds=1, boards=1).over() is None


@pytest.fixture
def results(tmp_path):
    return start_results(tmp_path / "results", "faults", TINY, [find_contender("memory")], lanes=2)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_every_lane_reports_its_runs_and_what_fails_is_stored_as_refused(integration, results):
    """Brokers whose URL no adapter accepts, a permanent failure: the second round is not tried."""
    contenders = [replace(find_contender("redis://127.0.0.1:1"), name=name, url=f"{name}://a") for name in ("x", "y")]
    parts = [[Job(one, TINY, number, f"round {number} {one.name}") for number in (1, 2)] for one in contenders]
    said = []
    run_in_lanes(parts, results, Console(quiet=True), lambda run: said.append(run.contender) or "", REPEATS)
    assert sorted(said) == ["x", "y"]
    runs = load_results(results.finish(complete=True))
    assert runs.lanes == 2
    assert sorted((run.contender, run.round, run.permanent) for run in runs.runs) == [("x", 1, True), ("y", 1, True)]
    assert all("://a" in run.problems[0] for run in runs.runs)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_run_comes_from_its_lane_with_all_its_figures(integration, results):
    job = Job(find_contender("memory"), TINY.with_fields(duration_s=1.0), 1, "round 1 memory")
    run_in_lanes([[job]], results, Console(quiet=True), lambda run: "", REPEATS)
    runs = [run for run in load_results(results.finish(complete=True)).runs if run.expected]
    assert runs  # one, or several if a busy machine disturbed the first
    assert all(run.histograms["latency"].count == run.delivered == run.expected - run.lost for run in runs)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_run_whose_lane_was_killed_is_refused_and_another_lane_takes_over(integration, results):
    job = Job(find_contender("memory"), TINY, 1, "round 1 memory")
    with progress_on(Console(quiet=True)) as progress:
        board = Board(RetryQueue([job]), results, progress, lambda run: run.problems[0])
        with started_lanes([board], results) as (lane,):
            lane.give_next()
            _until_it_measures(lane)
            programs = psutil.Process(lane.child.pid).children(recursive=True)
            assert programs
            os.kill(lane.child.pid, signal.SIGKILL)
            while (run := lane.answer()) is None:
                pass
            assert run.problems[0].startswith("lane 1 ended with exit code -9")
            assert run.disturbed
            wait_until(lambda: not any(map(_runs, programs)), "the end of its programs", 60)
            board.note(job, run)
            lane.give_next()  # the same again
            _until_it_measures(lane)
            programs = psutil.Process(lane.child.pid).children(recursive=True)
        wait_until(lambda: not any(map(_runs, programs)), "the end of the second one's programs", 60)


def _runs(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _until_it_measures(lane: LaneProcess) -> None:
    while wait([lane.line], 60):
        told = lane.line.recv()
        assert isinstance(told, LanePhase), told
        if told.words == "measuring":
            return
    raise AssertionError("nothing came for 60 s")
