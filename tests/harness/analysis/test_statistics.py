"""The statistics find the known truth of simulated, seeded rounds, and claim nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.boundaries import boundary
from harness.analysis.statistics import (
    CONFIDENCE,
    MIN_ROUNDS,
    ONE_LOOK,
    differences,
    independent_ratio,
    mean_interval,
    t_critical,
)

Values = dict[str, dict[int, float]]


def rounds(seed: int, medians: dict[str, float], count: int = 5, noise: float = 0.05, noisy: str = "") -> Values:
    """Figures by round: all contenders of a round share the machine's drift, and each has its own noise."""
    rng = np.random.default_rng(seed)
    drift = rng.normal(0, 0.2, count)
    return {
        name: {
            number: float(median * np.exp(drift[number - 1] + rng.normal(0, noise * (4 if name == noisy else 1))))
            for number in range(1, count + 1)
        }
        for name, median in medians.items()
    }


def false_alarms(medians: dict[str, float], simulations: int = 20, **kinds: object) -> int:
    return sum(
        any(found.significant for found in differences(rounds(seed, medians, **kinds)))  # type: ignore[arg-type]
        for seed in range(simulations)
    )


@pytest.mark.parametrize("contenders", [2, 6, 12])
def test_a_contender_against_itself_does_not_differ(contenders: int) -> None:
    same = {f"valkey#{number}": 15.0 for number in range(contenders)}
    assert false_alarms(same) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("contenders", [2, 6, 12])
def test_the_risk_of_any_false_difference_is_held_over_all_pairs(contenders: int) -> None:
    same = {f"valkey#{number}": 15.0 for number in range(contenders)}
    # 400 simulations at 2 %: 8 expected, 3 standard deviations above that are 16.
    assert false_alarms(same, 400) <= 16


@pytest.mark.slow
def test_one_noisy_contender_does_not_raise_the_risk_above_five_per_cent() -> None:
    same = {f"valkey#{number}": 15.0 for number in range(12)}
    assert false_alarms(same, 400, noisy="valkey#3") <= 0.05 * 400 + 3 * (400 * 0.05 * 0.95) ** 0.5


@pytest.mark.parametrize(("others", "least"), [(1, 16), (5, 17), (11, 16)])
def test_a_contender_slowed_by_a_fifth_is_found(others: int, least: int) -> None:
    medians = {"slowed": 18.0} | {f"valkey#{number}": 15.0 for number in range(others)}
    found = 0
    for seed in range(20):
        pairs = differences(rounds(seed, medians))
        found += any(pair.significant and pair.slower == "slowed" for pair in pairs)
    assert found >= least


def test_pairing_takes_out_what_a_round_has_in_common() -> None:
    # Drift of a factor of two between rounds hides a difference of a tenth unless the rounds are paired.
    drift = [1.0, 2.0, 0.5, 1.6, 0.7]
    slower = [1.10, 1.11, 1.09, 1.10, 1.12]
    values = {
        "fast": {number: 10 * d for number, d in enumerate(drift, 1)},
        "slow": {number: 10 * d * s for (number, d), s in zip(enumerate(drift, 1), slower, strict=True)},
    }
    (pair,) = differences(values)
    assert (pair.faster, pair.slower, pair.significant) == ("fast", "slow", True)
    assert pair.ratio.estimate == pytest.approx(1.104, abs=0.001)
    assert 1.05 < pair.ratio.low < 1.09 < 1.11 < pair.ratio.high < 1.16


def test_under_five_common_rounds_there_is_no_difference_to_report() -> None:
    few = rounds(1, {"a": 10.0, "b": 50.0}, count=MIN_ROUNDS - 1)
    assert differences(few) == []
    apart = rounds(1, {"a": 10.0, "b": 50.0}, count=8)
    apart["a"] = {number: value for number, value in apart["a"].items() if number <= 6}
    apart["b"] = {number: value for number, value in apart["b"].items() if number > 2}
    assert differences(apart) == []


@given(st.permutations(["a", "b", "c"]), st.floats(0.01, 100))
def test_neither_order_nor_unit_matters(order: list[str], unit: float) -> None:
    values = rounds(5, {"a": 10.0, "b": 13.0, "c": 40.0})
    scaled = {name: {number: value * unit for number, value in values[name].items()} for name in order}
    for one, other in zip(differences(values), differences(scaled), strict=True):
        assert (one.faster, one.slower, one.significant) == (other.faster, other.slower, other.significant)
        assert other.ratio.estimate == pytest.approx(one.ratio.estimate)


def test_equal_figures_do_not_differ() -> None:
    same = {name: dict.fromkeys(range(1, 6), 7.0) for name in ("a", "b")}
    (pair,) = differences(same)
    assert not pair.significant
    assert pair.ratio.high == pytest.approx(1)


@pytest.mark.parametrize(("degrees", "exact"), [(4, 3.747), (7, 2.998), (30, 2.457)])
def test_critical_values_are_those_of_students_tables(degrees: int, exact: float) -> None:
    assert CONFIDENCE == 0.98
    assert t_critical(degrees) == pytest.approx(exact, abs=0.002)
    assert boundary(2, degrees + 1, ONE_LOOK, 1 - CONFIDENCE) == pytest.approx(exact, rel=0.03)


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        interval = mean_interval(rng.normal(10, 1, 12).tolist())
        covered += interval.low <= 10 <= interval.high
    assert covered >= 300 * 0.95


def test_two_samples_from_different_days() -> None:
    rng = np.random.default_rng(2)
    before = (15 * np.exp(rng.normal(0, 0.04, 6))).tolist()
    assert not independent_ratio(before, (15 * np.exp(rng.normal(0, 0.04, 6))).tolist()).above(1)
    slower = independent_ratio(before, (20 * np.exp(rng.normal(0, 0.04, 6))).tolist())
    assert slower.above(1)
    assert slower.estimate == pytest.approx(20 / 15, rel=0.1)
    wider = independent_ratio(before, (20 * np.exp(rng.normal(0, 0.04, 6))).tolist(), comparisons=10)
    assert wider.low < slower.low
