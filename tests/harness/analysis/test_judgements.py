"""Equivalent, different and not settled are three judgements, and each follows from its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from harness.analysis.boundaries import Looks
from harness.analysis.judgement_words import blurred
from harness.analysis.judgements import (
    BROKER,
    CPU,
    FIGURES,
    P50,
    P90,
    P99,
    TAIL_EVENTS,
    FamilyJudgement,
    PairJudgement,
    carried,
    cpu_us_per_delivery,
    judge_family,
)
from harness.analysis.statistics import Interval
from harness.results.run_record import Run, Usage
from tests.harness import made_up


def pair(low: float, estimate: float, high: float, margin: float = 1.25) -> PairJudgement:
    return PairJudgement("p50", "valkey", "nats", Interval(estimate, low, high), 12, margin)


@pytest.mark.parametrize(
    ("interval", "word", "told_apart"),
    [
        ((0.9, 1.05, 1.2), "equivalent", False),
        ((1.01, 1.05, 1.2), "equivalent", True),  # real, but too small to matter
        ((1.01, 1.2, 1.4), "different", True),
        ((1.3, 1.5, 1.7), "different", True),
        ((0.9, 1.1, 1.3), "not settled", False),
        ((0.7, 1.0, 1.2), "not settled", False),  # the other way round it could be 1.4
        ((0.0, 1.0, math.inf), "not settled", False),
    ],
)
def test_the_judgement_follows_from_the_interval(
    interval: tuple[float, float, float], word: str, told_apart: bool
) -> None:
    judged = pair(*interval)
    assert (judged.word, judged.told_apart) == (word, told_apart)
    assert judged.settled == (word != "not settled")


def test_a_wider_margin_makes_equivalent_what_was_not_settled() -> None:
    assert pair(0.9, 1.1, 1.3, margin=1.5).word == "equivalent"
    assert pair(1.02, 1.1, 1.2, margin=1.1).word == "different"


@pytest.mark.parametrize(
    ("clock_bound", "interval", "word"),
    [
        (0.019, (1.1, 1.2, 1.3), "different"),
        (0.021, (1.1, 1.2, 1.3), "not settled"),  # over a tenth of their difference of 20%
        (0.024, (0.9, 1.05, 1.2), "equivalent"),
        (0.026, (0.9, 1.05, 1.2), "not settled"),  # over a tenth of the margin
    ],
)
def test_nothing_is_claimed_beyond_the_clocks_of_several_hosts(
    clock_bound: float, interval: tuple[float, float, float], word: str
) -> None:
    judged = replace(pair(*interval), clock_bound=clock_bound)
    assert judged.word == word
    assert judged.settled  # more rounds would not narrow the bound


def test_the_clock_bound_is_compared_with_its_hops_figure() -> None:
    near = np.exp(np.random.default_rng(4).normal(0, 0.01, (2, 12)))
    runs = runs_of({"valkey": {"latency": 10 * near[0]}, "nats": {"latency": 15 * near[1]}})
    bounded = {name: [replace(run, figures={"latency_bound_ms": 0.6}) for run in found] for name, found in runs.items()}
    for of, word in ((runs, "different"), (bounded, "not settled")):
        judged = judge_family("at-most-once", of, margin=1.25, looks=Looks())
        one = judged.pair(P50, "valkey", "nats")
        assert one is not None
        assert one.word == word
    assert "hosts' clocks are not known well enough to judge valkey and nats at p50" in blurred(judged)


def runs_of(logs: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, list[Run]]:
    """Runs with exactly these figures: by contender and hop, one value per round for every delivery."""
    made: dict[str, list[Run]] = {}
    for name, hops in logs.items():
        rounds = len(hops["latency"])
        made[name] = [
            made_up.run(
                name,
                number + 1,
                histograms={hop: made_up.histogram([float(values[number])] * 100) for hop, values in hops.items()},
            )
            for number in range(rounds)
        ]
    return made


def judged_of(
    ratio: float, sd: float, rounds: int = 24, margin: float = 1.25, seed: int = 1, **options: float
) -> FamilyJudgement:
    rng = np.random.default_rng(seed)
    noise = {name: rng.normal(0, sd / math.sqrt(2), rounds) for name in ("valkey", "nats")}
    slower = {"valkey": 1.0, "nats": ratio}
    logs = {
        name: {"latency": 10 * slower[name] * np.exp(noise[name]), "broker": slower[name] * np.exp(noise[name])}
        for name in noise
    }
    return judge_family("at-most-once", runs_of(logs), margin=margin, looks=Looks(), **options)


def test_each_figure_is_judged_separately() -> None:
    rng = np.random.default_rng(4)
    near = np.exp(rng.normal(0, 0.02, (2, 12)))
    logs = {
        "valkey": {"latency": 10 * near[0], "broker": 0.2 * near[0]},
        "nats": {"latency": 10 * near[1], "broker": 0.4 * near[1]},
    }
    judged = judge_family("at-most-once", runs_of(logs), margin=1.25, looks=Looks())
    words = {figure.name: one.word for figure in FIGURES if (one := judged.pair(figure, "nats", "valkey"))}
    # The sum of all hops hides that one broker hop takes twice as long.
    assert words == {"p50": "equivalent", "p90": "equivalent", "p99": "equivalent", "broker": "different", "cpu": "equivalent"}  # fmt: skip
    assert judged.overall("valkey", "nats") == "different"
    assert judged.unbeaten == ("valkey",)
    (found,) = judged.slower_in("nats", "valkey")
    assert (found.figure, found.slower) == (BROKER.name, "nats")


@pytest.mark.slow
def test_not_settled_says_about_how_many_rounds_would_suffice() -> None:
    judged = judged_of(1.0, sd=0.5, rounds=24, round_s=10.0)
    one = judged.pair(P50, "valkey", "nats")
    assert one is not None
    assert one.word == "not settled"
    half, estimate = math.log(one.ratio.high / one.ratio.estimate), math.log(one.ratio.estimate)
    enough = max(estimate, math.log(1.25) - estimate)
    assert one.rounds_needed == math.ceil(24 * ((half / enough) ** 2 - 1))
    assert one.minutes_needed == pytest.approx(one.rounds_needed * 10 / 60)
    # They do: with that many rounds in total, the same noise is usually settled.
    settled = [
        (again := judged_of(1.0, sd=0.5, rounds=24 + one.rounds_needed, seed=seed).pair(P50, "valkey", "nats"))
        and again.settled
        for seed in range(5)
    ]
    assert sum(map(bool, settled)) >= 3


def test_the_unbeaten_and_whether_they_are_equivalent() -> None:
    assert judged_of(1.0, sd=0.02).choice == "equivalent"
    assert judged_of(1.0, sd=0.02).unbeaten == ("valkey", "nats")
    assert judged_of(1.6, sd=0.02).unbeaten == ("valkey",)
    assert judged_of(1.0, sd=1.0).choice == "not settled"


def test_a_trade_off_is_different_and_beats_nobody() -> None:
    rng = np.random.default_rng(5)
    near = np.exp(rng.normal(0, 0.02, (2, 12)))
    logs = {
        "valkey": {"latency": 20 * near[0], "broker": 0.2 * near[0]},
        "nats": {"latency": 10 * near[1], "broker": 0.4 * near[1]},
    }
    judged = judge_family("at-most-once", runs_of(logs), margin=1.25, looks=Looks())
    assert judged.unbeaten == ("valkey", "nats")
    assert judged.choice == "different"


def test_a_percentile_needs_events_beyond_it_and_deliveries_do_not_count() -> None:
    assert TAIL_EVENTS == 2
    assert [carried(n, 99) for n in (199, 200)] == [False, True]
    assert [carried(n, 99.9) for n in (1999, 2000)] == [False, True]
    assert [carried(n, 90) for n in (19, 20)] == [False, True]
    few = {name: [made_up.run(name, r, published=30) for r in range(1, 6)] for name in ("valkey", "nats")}
    judged = judge_family("at-most-once", few, margin=1.25, looks=Looks())
    assert few["valkey"][0].delivered == 5000
    assert judged.pair(P99, "valkey", "nats") is None
    assert judged.pair(P90, "valkey", "nats") is not None


def test_cpu_is_what_a_service_pays_for() -> None:
    run = made_up.run(
        usage={
            "broker": Usage(1.0, 1, 0.1),
            "server": Usage(2.0, 1, 0.1),
            "generator": Usage(0.5, 1, 0.1),
            "load": Usage(9.0, 1, 0.9),
        }
    )
    assert cpu_us_per_delivery(run) == pytest.approx(3.5e6 / run.delivered)
    assert cpu_us_per_delivery(made_up.run(usage={})) is None
    judged = judge_family(
        "at-most-once",
        {name: [made_up.run(name, r) for r in range(1, 6)] for name in ("a", "b")},
        margin=1.25,
        looks=Looks(),
    )
    found = judged.pair(CPU, "a", "b")
    assert found is not None
    assert found.word == "equivalent"


def test_cpu_with_an_unwatched_part_is_not_judged() -> None:
    seen = Usage(1.0, 1, 0.1)
    watched = {"broker": seen, "server": seen, "generator": seen}
    unseen = {"usage": {"server": seen, "generator": seen}, "not_watched": ("broker", "others")}
    assert cpu_us_per_delivery(made_up.run(**unseen)) is None
    runs = {
        "a": [made_up.run("a", r, usage=watched) for r in range(1, 6)],
        "b": [made_up.run("b", r, **unseen) for r in range(1, 6)],
    }
    judged = judge_family("at-most-once", runs, margin=1.25, looks=Looks())
    assert judged.pair(CPU, "a", "b") is None
    assert judged.pair(P99, "a", "b") is not None


def test_a_risk_that_is_shared_by_promises_widens_the_intervals() -> None:
    alone, shared = (judged_of(1.0, sd=0.1, promises=promises).pair(P50, "valkey", "nats") for promises in (1, 2))
    assert alone is not None
    assert shared is not None
    assert shared.ratio.high > alone.ratio.high
