"""The gate fails only on a difference that is both too large and significant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from core.errors import UsageError
from harness.analysis.gate import BaselineGate, Rule, in_words
from harness.results.run_record import Comparison
from harness.results.store import open_results
from tests.harness import made_up

FIVE = range(1, 6)
SEVEN = made_up.SCENARIO.with_fields(rounds=7)


def measured(p99_ms: Sequence[float], name: str = "valkey", **fields: object) -> Comparison:
    runs = [
        made_up.run(name, number, histograms={"latency": made_up.histogram([value] * 10)})
        for number, value in enumerate(p99_ms, 1)
    ]
    return made_up.comparison(runs, **fields)


def gate(p99_ms: Sequence[float], *rules: str) -> BaselineGate:
    return BaselineGate(measured(p99_ms), tuple(map(Rule.parse, rules)))


def around(median: float, noise: float, seed: int, rounds: int = 6) -> list[float]:
    return (median * np.exp(np.random.default_rng(seed).normal(0, noise, rounds))).tolist()


BASE = around(15, 0.02, 1)


@pytest.mark.parametrize(
    ("now", "rule", "failed", "said"),
    [
        (around(15, 0.02, 2), "p99_ms>+15%", False, "no significant difference from the baseline"),
        (around(20, 0.02, 3), "p99_ms>+15%", True, "breaks p99_ms>+15%"),
        (around(16.2, 0.005, 4), "p99_ms>+15%", False, "within p99_ms>+15%"),  # significant, but allowed
        (around(20, 0.8, 5), "p99_ms>+15%", False, "no significant difference"),  # large, but only noise
        (around(10, 0.02, 6), "p99_ms>+15%", False, "within p99_ms>+15%"),  # faster
        (around(10, 0.02, 6), "p99_ms<-20%", True, "breaks p99_ms<-20%"),
        (around(20, 0.02, 3)[:4], "p99_ms>+15%", False, "was not judged: 4 valid rounds"),
    ],
)
def test_the_sentences_of_the_gate(now: list[float], rule: str, failed: bool, said: str) -> None:
    (finding,) = gate(BASE, rule).check(measured(now))
    assert said in finding.words
    assert finding.failed is failed
    assert in_words([finding]).endswith("gate passed") is not failed


@pytest.mark.parametrize(("bound_ms", "failed"), [(0.4, True), (0.6, False)])
def test_a_change_that_is_under_ten_times_the_clocks_bound_is_not_judged(bound_ms: float, failed: bool) -> None:
    now = measured(around(20, 0.001, 3))
    for run in now.runs:
        run.figures["latency_bound_ms"] = bound_ms
    (finding,) = gate(around(15, 0.001, 1), "p99_ms>+15%").check(now)
    assert finding.failed is failed
    assert ("was not judged: the hosts' clocks are known within 4.0% of the figure only" in finding.words) is not failed
    (by_core,) = BaselineGate(now, (Rule.parse("server_cpu_s>+15%"),)).check(now)
    assert "clocks" not in by_core.words


@pytest.mark.slow
def test_an_equal_run_rarely_fails_the_gate() -> None:
    failures = sum(
        gate(around(15, 0.1, seed), "p99_ms>+0%").check(measured(around(15, 0.1, seed + 1000)))[0].failed
        for seed in range(80)
    )
    assert failures <= 0.02 * 80 + 3 * (80 * 0.02 * 0.98) ** 0.5


def test_neither_another_transport_nor_a_run_with_faults_is_compared() -> None:
    slow = [
        made_up.run(r.contender, r.round, histograms=r.histograms, transport="ws") for r in measured([90.0] * 6).runs
    ]
    cut = made_up.fault_run("valkey", "clients-cut", histograms=slow[0].histograms)
    now = made_up.comparison([*measured(around(15, 0.02, 2)).runs, *slow, cut])
    over_sse, over_ws = gate(BASE, "p99_ms>+15%").check(now)
    assert "valkey: p99_ms" in over_sse.words
    assert not over_sse.failed
    assert over_ws.words.startswith(
        "valkey over ws: p99_ms>+15% was not judged: 6 valid rounds with this figure here, 0"
    )


def test_refused_runs_do_not_count() -> None:
    slow = [
        made_up.run(r.contender, r.round, histograms=r.histograms, problems=("late",))
        for r in measured([90.0] * 9).runs
    ]
    now = made_up.comparison([*measured(around(15, 0.02, 2)).runs, *slow])
    (finding,) = gate(BASE, "p99_ms>+15%").check(now)
    assert not finding.failed


def test_a_contender_that_the_baseline_lacks_is_reported() -> None:
    (finding,) = gate(BASE, "p99_ms>+15%").check(measured([90.0] * 6, name="nats"))
    assert not finding.failed
    assert "nats: p99_ms>+15% was not judged: 6 valid rounds with this figure here, 0 in the baseline" in finding.words


def test_another_machine_is_reported() -> None:
    *_, last = gate(BASE, "p99_ms>+15%").check(measured(BASE, host={"cpu": "another", "cores": "2"}))
    assert "measured on another machine (an example CPU; here another)" in last.words
    assert not last.failed


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("results")
    folder = open_results(parent, "base", scenario=SEVEN, command="fanbench compare valkey", host={}, versions={})
    for number in range(1, 8):
        folder.add_run(made_up.run("valkey", number))
        folder.add_run(made_up.run("nats", number, problems=("late",) if number > 4 else ()))
    return folder.finish(complete=True)


def test_a_gate_is_opened_from_a_directory(baseline: Path) -> None:
    opened = BaselineGate.open(baseline, "p99_ms>+15%, broker_cpu_s>+20%", SEVEN, ["valkey", "redis"])
    assert [rule.column for rule in opened.rules] == ["p99_ms", "broker_cpu_s"]
    findings = opened.check(opened.baseline)
    assert not any(finding.failed for finding in findings)


@pytest.mark.parametrize(
    ("rules", "scenario", "contenders", "said"),
    [
        ("p99_ms>15%", {}, ["valkey"], "cannot be read; write for instance --fail-if 'p99_ms>+15%'"),
        ("p98_ms>+15%", {}, ["valkey"], "no column 'p98_ms' to gate on; did you mean 'p9"),
        ("p99_ms>-15%", {}, ["valkey"], "a rise is >+N%, a fall <-N%"),
        ("p99_ms<-150%", {}, ["valkey"], "give less than 100"),
        (" , ", {}, ["valkey"], "has no rule"),
        ("p99_ms>+15%", {"clients": 70}, ["valkey"], "measured clients = 50, this run has 70"),
        ("p99_ms>+15%", {"rounds": 3}, ["valkey"], "3 rounds are too few for --fail-if; give --rounds 5"),
        ("p99_ms>+15%", {}, ["redis"], "has no valid run of redis"),
        ("p99_ms>+15%", {}, ["nats"], "has 4 valid rounds, too few"),
    ],
)
def test_an_invalid_gate_is_reported_before_anything_is_measured(
    baseline: Path, rules: str, scenario: dict[str, object], contenders: list[str], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        BaselineGate.open(baseline, rules, SEVEN.with_fields(**scenario), contenders)
    assert said in str(caught.value)


def test_a_baseline_over_another_transport_is_not_used(baseline: Path) -> None:
    with pytest.raises(UsageError, match="has no valid run of valkey over ws; it has valkey, nats"):
        BaselineGate.open(baseline, "p99_ms>+15%", SEVEN, ["valkey"], ["ws"])


def test_a_missing_baseline_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a result directory"):
        BaselineGate.open(tmp_path / "none", "p99_ms>+15%", SEVEN, ["valkey"])
