"""A comparison continues until every pair is settled or its time is over, and says how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from brokers.contenders import find_contender
from core.contracts.manifest import Stopping
from core.resources import resource_folder
from core.scenario import load_scenario
from harness.analysis.standings import families, settled
from harness.commands import compare
from harness.commands.compare import plan, rounds_held
from harness.results.load import load_results
from harness.results.run_record import Comparison, Run
from harness.results.store import open_results
from harness.schedule import jobs as schedule
from harness.schedule.retry_queue import Job
from harness.schedule.stopping import UntilSettled, planned_looks, planned_rounds
from tests.harness import made_up

ROUNDS = 24
SCENARIO = made_up.SCENARIO.with_fields(rounds=ROUNDS)
NAMES = ("valkey", "nats")


def test_the_planned_rounds_fit_into_the_time() -> None:
    assert planned_rounds(10, 360) == 36
    assert planned_rounds(20, 360) == 18
    assert planned_rounds(20, 20) == 5  # a verdict needs them


def test_looks_are_six_at_most_and_the_last_is_the_end() -> None:
    assert planned_looks(24) == (8, 12, 16, 20, 24)
    assert planned_looks(36) == (6, 12, 18, 24, 30, 36)
    assert planned_looks(5) == (5,)
    assert planned_looks(7) == (6, 7)
    for rounds in range(1, 200):
        looks = planned_looks(rounds)
        assert looks[-1] == rounds
        assert len(looks) <= 6
        assert looks == tuple(sorted(set(looks)))


def rounds_of(slower: float = 1.0, rounds: int = ROUNDS, noisy: bool = False) -> Iterator[list[Run]]:
    for number in range(1, rounds + 1):
        swing = (2.0 if number % 2 else 0.5) if noisy else 1.0
        yield [
            made_up.run("valkey", number, scenario=SCENARIO, fanout_ms=6.0 * swing),
            made_up.run("nats", number, scenario=SCENARIO, fanout_ms=6.0 * slower),
        ]


def go_on(runs: Iterator[list[Run]], within_s: float = 1000, round_s: float = 1.0) -> tuple[UntilSettled, Comparison]:
    """Run round by round, each of `round_s` seconds, until it ends."""
    now_s = 0.0
    until = UntilSettled(ROUNDS, within_s, 1.25, clock=lambda: now_s)
    comparison = made_up.comparison([], scenario=SCENARIO, stopping=until.stopping)
    for number, made in enumerate(runs, 1):
        comparison.runs.extend(made)
        now_s += round_s
        if until.ends(number, comparison):
            break
    return until, replace(comparison, stopping=until.stopping)


@pytest.mark.parametrize(("slower", "word"), [(1.0, "equivalent"), (2.0, "different")])
def test_it_ends_at_the_first_look_at_which_all_is_settled(slower: float, word: str) -> None:
    until, comparison = go_on(rounds_of(slower))
    assert until.stopping == Stopping(margin=1.25, looks=(8, 12, 16, 20, 24), settled=True)
    assert comparison.rounds in (8, 12)
    (family,) = families(comparison)
    assert family.judgement.overall(*NAMES) == word
    assert settled(comparison)
    assert rounds_held(comparison, named=True)


@pytest.mark.slow
def test_unsettled_pairs_run_to_the_last_round_and_are_an_answer() -> None:
    until, comparison = go_on(rounds_of(1.1, noisy=True))
    assert not until.stopping.settled
    assert comparison.rounds == ROUNDS
    assert not settled(comparison)
    assert rounds_held(comparison, named=True)


@pytest.mark.slow
def test_no_round_starts_that_would_not_end_in_time() -> None:
    until, comparison = go_on(rounds_of(1.1, noisy=True), within_s=10.5)
    assert comparison.rounds == 10
    assert not until.stopping.settled


@pytest.mark.slow
def test_the_first_round_shows_how_many_there_will_be() -> None:
    until, comparison = go_on(rounds_of(1.1, noisy=True), within_s=100, round_s=8)
    assert until.plan == "a round took 8 s: 12 rounds at most, about 2 min"
    assert until.stopping.looks == planned_looks(12)
    assert comparison.rounds == 12


def test_five_rounds_run_even_if_the_time_is_too_short() -> None:
    until, comparison = go_on(rounds_of(2.0), within_s=60, round_s=130)
    assert until.plan == (
        "a round took 130 s: 5 rounds at most, about 11 min; 60 s are not enough for the 5 rounds that a verdict needs. "
        "Name fewer contenders for a shorter comparison"
    )
    assert (comparison.rounds, until.stopping.looks) == (5, (5,))
    assert settled(comparison)


def test_without_valid_runs_five_rounds_are_enough() -> None:
    refused = ([made_up.run("valkey", n, scenario=SCENARIO, problems=("late",))] for n in range(1, ROUNDS + 1))
    until, comparison = go_on(refused)
    assert (comparison.rounds, until.stopping.settled) == (5, False)
    assert not rounds_held(comparison, named=True)


def test_an_interrupted_comparison_spends_no_more_than_its_look() -> None:
    _, comparison = go_on(rounds_of(1.1, rounds=12, noisy=True))
    whole, cut = (families(replace(comparison, complete=complete))[0].judgement for complete in (True, False))
    for one, other in zip(whole.headline(*NAMES), cut.headline(*NAMES), strict=True):
        assert other.ratio.high > one.ratio.high


def test_remaining_rounds_are_skipped_and_the_ending_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contenders = [find_contender(name) for name in NAMES]
    over = ["sse", "ws"]

    def attempted(job: Job, *_: object) -> Run:
        return made_up.run(
            job.contender.name,
            job.round,
            scenario=job.scenario,
            transport=job.transport,
            fanout_ms={"sse": 6, "ws": 12}[job.transport],
        )

    monkeypatch.setattr(schedule, "attempt", attempted)
    until = UntilSettled(ROUNDS, 1000, 1.25)
    results = open_results(tmp_path, "x", scenario=SCENARIO, command="", host={}, versions={}, stopping=until.stopping)
    done = schedule.run_jobs(
        plan(contenders, SCENARIO, over), results, Console(quiet=True), lambda run: "", until=until
    )
    stored = load_results(done.folder)
    assert stored.stopping == until.stopping
    assert stored.stopping.settled
    assert stored.rounds in (8, 12)
    ranked = [run for run in stored.runs if not run.scenario.faults]
    assert len(ranked) == stored.rounds * 4
    assert len(stored.runs) - len(ranked) == 4  # the cut of every connection still runs
    assert [one.judgement for one in families(stored)] == [one.judgement for one in families(done.comparison)]


@pytest.mark.parametrize(("contenders", "minutes"), [(2, 6), (20, 10)])
def test_the_first_line_tells_the_time_that_the_five_rounds_take(contenders: int, minutes: int) -> None:
    """They run in any case: 100 runs of 5.8 s do not end within six minutes."""
    usual = load_scenario("broadcast", resource_folder("scenarios"))
    scenario, until = compare._rounds(usual, contenders, compare.USUAL)
    names = [find_contender("valkey")] * contenders
    said = compare._announcement(names, scenario, ["sse"], plan(names, scenario), compare.USUAL, until)
    assert said.endswith(f", about {minutes} min")
