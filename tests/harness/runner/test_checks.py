"""Each check in a run that triggers it, and in one that triggers none."""

from dataclasses import replace

import pytest

from core.contracts.load_result import VisitResult
from core.contracts.measures import Percentiles
from core.fault import KINDS, WHAT, Fault
from core.scenario import Scenario
from harness.results.run_record import Usage
from harness.runner.checks import Facts, problems

GOOD = Facts(
    scenario=Scenario(clients=100, rate_hz=20),
    offered_hz=20.0,
    achieved_hz=20.0,
    latency_ms=Percentiles(p50=2.0, p90=4.0, p99=8.0, p999=20.0, max=30.0),
    since_sent_ms=Percentiles(p50=1.9, p90=3.8, p99=7.5, p999=19.0, max=29.0),
    failed_publishes=0,
    clients_at_start=100,
    clients_at_end=100,
    reconnects=0,
    expected=16_000,
    delivered=16_000,
    received=16_000,
    found_missing=0,
    load_problems=(),
    histogram_counts={"latency": 16_000, "schedule": 16_000, "broker": 16_000, "fanout": 16_000},
    negative=0,
    clock_step_ns=200_000,
    usage={part: Usage(cpu_s=4.0, rss_mb=80, busiest_core=0.5) for part in ("broker", "server", "generator", "load")},
    others_cores=0.05,
    cores=2,
)
LATE = Percentiles(p50=2.0, p90=4.0, p99=10.0, p999=20.0, max=30.0)
HALF_LATE = Percentiles(p50=2.5, p90=4.0, p99=8.0, p999=20.0, max=30.0)
VISITS = VisitResult(
    due=30, opened=30, complete=30, wrong=0, late=3, moved=4, expected=16_000,
    first_event_ms=LATE, gap_sent_ms=LATE, gap_seen_ms=LATE,
)  # fmt: skip
BUSY = Usage(cpu_s=7.6, rss_mb=80, busiest_core=0.95)


def test_a_good_run_has_no_problem():
    assert problems(GOOD) == ()


TOKENS = Scenario(name="tokens", topic_arrivals_hz=1.5, stamp="compact")


@pytest.mark.parametrize(
    "change",
    [
        {"achieved_hz": 19.0},
        {"offered_hz": 0.0, "achieved_hz": 0.0},
        {"latency_ms": LATE},
        *({"usage": {part: BUSY}} for part in ("server", "load", "generator")),
    ],
    ids=str,
)
def test_with_sessions_no_advice_names_an_option_that_is_refused(change):
    facts = replace(GOOD, scenario=TOKENS, visits=VISITS, visits_planned=30, reconnects=4)
    assert problems(facts) == ()
    (problem,) = problems(replace(facts, **change))
    assert "topic_arrivals_hz in a copy of the scenario's file" in problem
    assert "--rate" not in problem
    assert "--clients" not in problem


def test_a_worker_that_joins_and_takes_no_client_is_none():
    assert problems(replace(GOOD, joined_workers=("w4",))) == ()


def test_losses_are_findings_and_do_not_refuse_the_run():
    some = replace(GOOD, delivered=15_990, received=15_990, found_missing=10, histogram_counts={"latency": 15_990})
    assert problems(some) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"achieved_hz": 19.7}, ["achieved 19.7 of 20", "lower --rate"]),
        ({"offered_hz": 20.3}, ["achieved 20.0 of 20.3", "lower --rate"]),
        ({"offered_hz": 0.0, "achieved_hz": 0.0}, ["no event was due", "raise --rate"]),
        ({"latency_ms": LATE}, ["generator late: p99", "10.0 ms", "7.5 ms without its lateness", "may add 2.0 ms"]),
        ({"latency_ms": HALF_LATE}, ["generator late: p50", "2.5 ms", "may add 0.5 ms"]),
        ({"usage": GOOD.usage | {"load": BUSY}}, ["load at 95%", "lower --clients"]),
        ({"usage": GOOD.usage | {"server": BUSY}}, ["the replica is the bottleneck", "add --replicas"]),
        ({"usage": GOOD.usage | {"server": BUSY, "load": BUSY}}, ["the replica is the bottleneck"]),
        ({"usage": GOOD.usage | {"generator": BUSY}}, ["the generator is the bottleneck"]),
        ({"clients_at_start": 99}, ["clients missing: 99"]),
        ({"clients_at_end": 98}, ["98 at the end"]),
        ({"reconnects": 1}, ["1 reconnected"]),
        ({"delivered": 16_001}, ["do not add up", "another generator"]),
        ({"found_missing": 3}, ["do not add up", "lack 3"]),
        ({"received": 15_999}, ["ledgers have 15999"]),
        ({"load_problems": ("worker w1 ended without its totals",)}, ["worker w1 ended without its totals"]),
        ({"load_problems": ("a clock was set", "another")}, ["a clock was set"]),
        ({"histogram_counts": {"latency": 15_999}}, ["histogram 'latency' has 15999"]),
        ({"negative": 2}, ["2 latencies below zero", "synchronise"]),
        ({"clock_step_ns": 10_000_000}, ["+10.0 ms", "adjusts the clock"]),
        ({"clock_step_ns": -10_000_000}, ["-10.0 ms"]),
        ({"failed_publishes": 4}, ["4 publishes failed"]),
        ({"unmet": "90 of 500 background commits"}, ["90 of 500 background commits"]),
        ({"stood_still_s": {"server": 1.5}}, ["a replica was stopped for about 1.5 s", "SIGSTOP", "repeat"]),
        (
            {"ended_workers": ("w1",), "load_problems": ("worker w1 ended without its totals: its …",)},
            ["worker w1 ended without its totals"],
        ),
        ({"ended_workers": ("w1",)}, ["load worker w1 ended while the run measured", "repeat"]),
        ({"joined_workers": ("w4",), "moved_clients": 9}, ["load worker w4 joined", "9 clients moved"]),
        ({"silent_replicas": 1}, ["1 of 2 replicas did not answer"]),
        ({"others_cores": 0.6}, ["0.60 of 2 cores", "limit 0.30", "doctor"]),
    ],
)
def test_each_check_fires_alone_and_says_what_to_do(change, words):
    found = problems(replace(GOOD, **change))
    assert len(found) == 1
    for word in words:
        assert word in found[0]


OF_SESSIONS = replace(GOOD, clients_at_start=7, clients_at_end=2, reconnects=4, visits=VISITS, visits_planned=30)


def visits_with(**fields):
    return {"visits": VISITS.model_copy(update=fields)}


def test_clients_of_sessions_come_and_go():
    assert problems(OF_SESSIONS) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"visits_planned": 31}, ["visits missing: of 31", "30 started"]),
        (visits_with(opened=29), ["visits missing", "29 connected"]),
        ({"reconnects": 6}, ["2 reconnected besides the 4 that move"]),
        (visits_with(wrong=5), ["5 events arrived with different bytes"]),
    ],
)
def test_each_check_of_sessions_fires_alone(change, words):
    (found,) = problems(replace(OF_SESSIONS, **change))
    for word in words:
        assert word in found


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "SIGSTOP" in WHAT[kind].meaning])
def test_only_a_broker_that_is_stopped_on_purpose_may_pause(kind):
    on_purpose = replace(GOOD, scenario=Scenario(faults=(Fault(kind=kind, at_s=1, for_s=5),)))
    assert problems(replace(on_purpose, stood_still_s={"broker": 5.0})) == ()
    assert "a replica was stopped" in problems(replace(on_purpose, stood_still_s={"broker": 5.0, "server": 1.0}))[0]


def test_a_busy_broker_is_a_finding():
    assert problems(replace(GOOD, usage=GOOD.usage | {"broker": BUSY})) == ()


def test_other_processes_may_use_the_same_share_of_a_large_machine() -> None:
    assert problems(replace(GOOD, others_cores=1.0, cores=64)) == ()


def test_a_schedule_below_its_rate_is_valid_if_it_was_met() -> None:
    assert problems(replace(GOOD, offered_hz=19.2, achieved_hz=19.2)) == ()
