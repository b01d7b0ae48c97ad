"""The programs' reports become a run that has checked itself."""

from dataclasses import replace

import pytest

from brokers.contenders import find_contender
from core.contracts.load_result import EncodedHistograms, LoadResult, VisitResult
from core.contracts.measures import Percentiles, PhaseCounts
from core.scenario import Scenario
from harness.results.run_record import Run, Usage
from harness.runner.assemble_run import Findings, assemble_run, tells_finished_topics
from harness.runner.loss_causes import Evidence
from harness.runner.resources import Window
from tests.core.contracts.made_up import encoded, generator_report, load_result, replica_stats

SOME = Percentiles(p50=1.0, p90=2.0, p99=3.0, p999=4.0, max=5.0)
VISITS = VisitResult(
    due=30, opened=30, complete=30, wrong=0, late=3, moved=4, expected=200,
    first_event_ms=SOME, gap_sent_ms=SOME, gap_seen_ms=SOME,
)  # fmt: skip
SCENARIO = Scenario(clients=10, replicas=1, rate_hz=10, duration_s=2)


def findings(result: LoadResult, received: int = 20, gap_lost: dict[str, int] | None = None) -> Findings:
    got = {"s": {"events": PhaseCounts(warmup=3, measure=received)}}
    stats = replica_stats(received=got, gap_lost=gap_lost or {})
    evidence = Evidence([generator_report()], [stats], [{"events": 10}], result.causes)
    usage = {part: Usage(0.5, 50.0, 0.25) for part in ("broker", "server", "generator", "load")}
    return Findings(evidence, result, Window(2.0, usage, {}, 0.01), 10, True, 1.0, 0)


def run_of(found: Findings) -> Run:
    return assemble_run(find_contender("valkey"), SCENARIO, 1, found)


def test_a_whole_run_is_valid_and_adds_up() -> None:
    run = run_of(findings(load_result()))
    assert run.problems == ()
    assert (run.published, run.expected, run.delivered, run.lost) == (20, 200, 200, 0)
    assert set(run.lost_by_cause.values()) == {0}


def test_losses_come_with_their_causes_and_refuse_nothing() -> None:
    run = run_of(findings(load_result(150, gaps=10), received=15, gap_lost={"events": 3}))
    assert run.problems == ()
    assert (run.delivered, run.lost, run.gaps) == (150, 50, 10)
    assert {cause: count for cause, count in run.lost_by_cause.items() if count} == {"gap": 30, "broker": 20}


def test_negative_values_stay_with_their_hop() -> None:
    whole, short = encoded(200), encoded(198)
    histograms = EncodedHistograms(latency=whole, schedule=whole, broker=whole, fanout=short)
    run = run_of(findings(load_result(negatives={"fanout": 2}, histograms=histograms)))
    assert run.histograms["fanout"].negative == 2
    assert [problem for problem in run.problems if "below zero" not in problem] == []
    assert "2 latencies below zero" in run.problems[0]


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (load_result(210), "210 delivered of 200 expected"),
        (load_result(received=199), "the clients' ledgers have 199 deliveries, the sum is 200"),
        (load_result(199, received=199, lost=3), "the clients lack 3 deliveries"),
        (load_result(problems=["worker 2 ended without its totals"]), "worker 2 ended without its totals"),
        (load_result(histograms=load_result(199).histograms), "histogram 'latency' has 199 deliveries"),
    ],
)
def test_counts_from_two_sources_must_agree(result: LoadResult, words: str) -> None:
    (problem,) = run_of(findings(result)).problems
    assert words in problem


@pytest.mark.parametrize(("seconds", "told"), [(3.0, False), (59.9, False), (60.0, True), (110.0, True)])
def test_growth_is_reported_from_a_minute_on(seconds: float, told: bool) -> None:
    found = findings(load_result())
    run = run_of(replace(found, window=replace(found.window, seconds=seconds, rss_mb_per_min={"server": 1.5})))
    assert run.figures.get("server_growth_mb_min") == (1.5 if told else None)


@pytest.mark.parametrize(
    ("changes", "seconds", "told"),
    [
        ({}, 60.0, True),
        ({}, 59.0, False),  # too short
        ({"warmup_s": 31}, 60.0, False),  # the number of topics still grows
        ({"topic_lifetime_s": (1, 60)}, 60.0, False),
        ({"topic_arrivals_hz": 10}, 60.0, False),  # the allocator's noise is larger
        ({"topic_arrivals_hz": 10}, 100.0, True),
    ],
)
def test_memory_of_ended_topics_is_told_only_if_nothing_else_grows(changes, seconds, told) -> None:
    fields = {"topic_arrivals_hz": 20, "topic_lifetime_s": (1, 2), "warmup_s": 32, "duration_s": 60}
    assert tells_finished_topics(Scenario.model_validate(fields | changes), seconds) is told


def test_topics_that_replicas_subscribed_and_let_go_are_rates() -> None:
    scenario = Scenario(topic_arrivals_hz=20, topic_lifetime_s=(1, 2), warmup_s=2, duration_s=8, replicas=2)
    result = load_result(visits=VISITS)
    stats = [replica_stats(opened_topics=30, closed_topics=10), replica_stats(opened_topics=20, closed_topics=5)]
    found = findings(result)
    evidence = replace(found.evidence, stats=stats, of_visits=200, clients=[])
    run = assemble_run(find_contender("valkey"), scenario, 1, replace(found, evidence=evidence))
    assert (run.figures["topic_subscribes_hz"], run.figures["topic_unsubscribes_hz"]) == (5.0, 1.5)
    silent = replace(evidence, stats=[stats[0], None])
    run = assemble_run(find_contender("valkey"), scenario, 1, replace(found, evidence=silent))
    assert "topic_subscribes_hz" not in run.figures, "a replica that did not answer may have had topics"


@pytest.mark.parametrize("step_ns", [10_000_000, -10_000_000])
def test_the_largest_clock_step_counts_whoever_saw_it(step_ns: int) -> None:
    (problem,) = run_of(replace(findings(load_result()), clock_step_ns=step_ns)).problems
    assert f"{step_ns / 1e6:+.1f} ms" in problem
