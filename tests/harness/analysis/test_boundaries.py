"""The boundaries of a comparison that may end early: the cost of each look, and the use of the right statistic."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.analysis.boundaries import Looks, boundary
from harness.analysis.judgements import FIGURES
from harness.analysis.statistics import CONFIDENCE, differences, t_critical

RISK = (1 - CONFIDENCE) / len(FIGURES)
LOOKS = (8, 12, 16, 20, 24)


def test_the_simulation_has_the_statistic_that_is_used() -> None:
    rng = np.random.default_rng(3)
    logs = 0.1 * rng.standard_normal((1, 1, 4, 12))
    values = {f"c{i}": {n: float(math.exp(logs[0, 0, i, n])) for n in range(12)} for i in range(4)}
    looks = Looks(LOOKS, settled=True)
    between = logs[0, 0][:, None] - logs[0, 0][None]
    variances = between.var(axis=-1, ddof=1)
    middle = np.median(variances[np.triu_indices(4, 1)])
    for found in differences(values, looks, RISK):
        i, j = int(found.slower[1]), int(found.faster[1])
        half = boundary(4, 12, looks, RISK) * math.sqrt((4 * middle + 11 * variances[i, j]) / 15 / 12)
        mean = between[i, j].mean()
        assert found.ratio.estimate == pytest.approx(math.exp(mean))
        assert (found.ratio.low, found.ratio.high) == pytest.approx((math.exp(mean - half), math.exp(mean + half)))


def test_the_boundary_of_one_look_is_students_t() -> None:
    assert boundary(2, 12, Looks(), 1 - CONFIDENCE) == pytest.approx(t_critical(11), rel=0.03)


@pytest.mark.slow
def test_looks_cost_little_at_the_end_and_much_at_the_start() -> None:
    alone = boundary(5, 24, Looks(), RISK)
    last = boundary(5, 24, Looks(LOOKS), RISK)
    early = boundary(5, 8, Looks(LOOKS, settled=True), RISK)
    assert 1.02 * alone < last < 1.1 * alone
    assert early > 1.2 * last


def test_the_risk_of_all_looks_is_spent_by_the_last_and_by_no_other() -> None:
    looks = Looks(LOOKS)
    made, shares = looks.spent(24)
    assert made == LOOKS
    assert shares == (*((look / 24) ** 3 for look in LOOKS[:-1]), 1.0)
    # If the time ended it between two looks, the rest is spent there. If all was settled, only its share is.
    assert looks.spent(18) == ((8, 12, 16, 18), (*shares[:3], 1.0))
    assert Looks(LOOKS, settled=True).spent(12) == ((8, 12), shares[:2])
    # Spare rounds went beyond the plan.
    assert Looks((5,)).spent(6)[1][-1] == 1.0


def test_before_any_risk_may_be_spent_nothing_is_claimed() -> None:
    assert boundary(2, 6, Looks((6, 400), settled=True), RISK) == math.inf
    values = {name: dict.fromkeys(range(6), factor) for name, factor in (("a", 1.0), ("b", 9.0))}
    values["b"][0] = 9.5
    (found,) = differences(values, Looks((6, 400), settled=True), RISK)
    assert (found.ratio.low, found.ratio.high) == (0.0, math.inf)
    assert not found.significant
