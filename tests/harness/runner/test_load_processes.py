"""The number of Locust processes, and that several count like one."""

import pytest

from brokers.contenders import find_contender
from core.contracts.codec import read
from core.contracts.load_result import LoadResult
from core.fault import Fault
from core.scenario import Scenario
from harness.runner import host
from harness.runner.host import load_processes
from harness.runner.run import run_once


@pytest.mark.parametrize(
    ("fields", "processes"),
    [
        ({"clients": 500}, 1),
        ({"clients": 6_000, "rate_hz": 20}, 2),
        ({"clients": 6_000, "rate_hz": 20, "topics": "room-{0..9}"}, 1),
        ({"clients": 24_000, "rate_hz": 1}, 2),
        ({"clients": 50_000, "rate_hz": 1_000}, 4),
        ({"clients": 500, "load_processes": 3}, 3),
    ],
)
def test_as_many_as_the_load_needs_and_at_most_one_per_core(monkeypatch, fields, processes):
    monkeypatch.setattr(host, "descriptor_limit", lambda: 20_000)
    monkeypatch.setattr(host, "usable_cores", lambda: 4.5)
    assert load_processes(Scenario(**fields)) == processes


@pytest.mark.usefixtures("integration")
def test_a_run_with_two_processes_counts_every_delivery(tmp_path):
    scenario = Scenario(clients=20, rate_hz=50, warmup_s=0.5, duration_s=2, load_processes=2, connect_hz=100)
    run = run_once(find_contender("memory"), scenario, 1, tmp_path, lambda _: None)
    assert (run.delivered, run.lost, run.duplicated) == (run.expected, 0, 0)
    assert not any("clients were requested" in problem or "worker" in problem for problem in run.problems)
    assert run.usage["load"].rss_mb > 150  # of a master and two workers
    assert sum(second.deliveries for second in run.timeline) == run.delivered


@pytest.mark.usefixtures("integration")
@pytest.mark.parametrize(
    ("kind", "share", "hit"),
    [("clients-cut", 0.5, 20), pytest.param("clients-churn", 0.25, 10, marks=pytest.mark.soak)],
)
def test_a_fault_reaches_the_clients_of_both_processes(tmp_path, kind, share, hit):
    fault = Fault(kind=kind, at_s=1, for_s=0 if kind == "clients-cut" else 1, share=share)
    scenario = Scenario(
        clients=40,
        rate_hz=50,
        warmup_s=0.5,
        duration_s=4,
        drain_s=20,
        load_processes=2,
        connect_hz=100,
        faults=(fault,),
    )
    run = run_once(find_contender("valkey"), scenario, 1, tmp_path, lambda _: None)
    load = read(LoadResult, tmp_path / "load.json")
    assert (run.delivered + run.lost, run.duplicated) == (run.expected, 0)
    assert load.reconnects == hit == sum(load.disconnects.values())
    assert (load.recovery.clients, load.recovery.never) == (40, 0)
    assert (load.bystanders.clients, load.bystanders.deliveries > 0) == (40 - hit, True)
    assert not load.problems
