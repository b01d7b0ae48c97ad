"""From what the programs reported to a run that has checked itself."""

from dataclasses import replace
from typing import Any

import pytest

from brokers.contenders import find_contender
from core.scenario import Scenario
from harness.results.run_record import Run, Usage
from harness.runner.assemble_run import Findings, assemble_run
from harness.runner.loss_causes import Evidence
from harness.runner.resources import Window
from tests.harness.made_up import histogram

SCENARIO = Scenario(clients=10, replicas=1, rate_hz=10, duration_s=2)
REPORT = {
    "stream": "s",
    "published": {"events": {"warmup": 3, "measure": 20}},
    "failed": 0,
    "offered_hz": 10.0,
    "achieved_hz": 10.0,
    "lateness_ms": {"p99": 0.4},
    "lateness_negative": 0,
    "clock_step_ns": 1_000,
}


def load(deliveries: int = 200, **changed: Any) -> dict[str, Any]:
    hops = dict.fromkeys(("latency", "schedule", "broker", "fanout"), histogram([5.0] * deliveries).encode())
    counts = dict.fromkeys(("lost", "duplicated", "reordered", "reconnects", "gaps", "replayed"), 0)
    known: dict[str, Any] = {"deliveries": deliveries, "received": deliveries, "connected": 10, "histograms": hops}
    known |= {"negatives": {}, "problems": [], "causes": {}, "timeline": [], "connect_ms": {}, "event_bytes": None}
    return counts | known | changed


def findings(result: dict[str, Any], received: int = 20, gap_lost: dict[str, int] | None = None) -> Findings:
    stats = {"received": {"s": {"events": {"warmup": 3, "measure": received}}}, "gap_lost": gap_lost or {}}
    evidence = Evidence([REPORT], [stats], [{"events": 10}], result["causes"])
    usage = {part: Usage(0.5, 50.0, 0.25) for part in ("broker", "server", "generator", "load")}
    return Findings(evidence, result, Window(2.0, usage, {}, 0.01), 10, True, 1.0, 0)


def run_of(found: Findings) -> Run:
    return assemble_run(find_contender("valkey"), SCENARIO, 1, found)


def test_a_whole_run_is_valid_and_adds_up() -> None:
    run = run_of(findings(load()))
    assert run.problems == ()
    assert (run.published, run.expected, run.delivered, run.lost) == (20, 200, 200, 0)
    assert set(run.lost_by_cause.values()) == {0}


def test_losses_come_with_their_causes_and_refuse_nothing() -> None:
    run = run_of(findings(load(150, gaps=10), received=15, gap_lost={"events": 3}))
    assert run.problems == ()
    assert (run.delivered, run.lost, run.gaps) == (150, 50, 10)
    assert {cause: count for cause, count in run.lost_by_cause.items() if count} == {"gap": 30, "broker": 20}


def test_negative_values_stay_with_their_hop() -> None:
    short = histogram([5.0] * 198).encode()
    result = load(negatives={"fanout": 2})
    result["histograms"] = result["histograms"] | {"fanout": short}
    run = run_of(findings(result))
    assert run.histograms["fanout"].negative == 2
    assert [problem for problem in run.problems if "below zero" not in problem] == []
    assert "2 latencies below zero" in run.problems[0]


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (load(210), "210 delivered of 200 expected"),
        (load(received=199), "the clients' ledgers have 199 deliveries, the sum is 200"),
        (load(199, received=199, lost=3), "the clients miss 3 deliveries"),
        (load(problems=["worker 2 ended without its totals"]), "worker 2 ended without its totals"),
        (load(histograms=load(199)["histograms"]), "histogram 'latency' has 199 deliveries"),
    ],
)
def test_counts_that_came_about_in_two_ways_must_agree(result: dict[str, Any], words: str) -> None:
    (problem,) = run_of(findings(result)).problems
    assert words in problem


@pytest.mark.parametrize(("seconds", "told"), [(3.0, False), (59.9, False), (60.0, True), (110.0, True)])
def test_growth_is_told_of_a_minute_or_more(seconds: float, told: bool) -> None:
    found = findings(load())
    run = run_of(replace(found, window=replace(found.window, seconds=seconds, rss_mb_per_min={"server": 1.5})))
    assert run.figures.get("server_growth_mb_min") == (1.5 if told else None)


@pytest.mark.parametrize("step_ns", [10_000_000, -10_000_000])
def test_the_farthest_clock_step_counts_whoever_saw_it(step_ns: int) -> None:
    (problem,) = run_of(replace(findings(load()), clock_step_ns=step_ns)).problems
    assert f"{step_ns / 1e6:+.1f} ms" in problem
