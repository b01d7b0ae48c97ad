"""A comparison that ends when all is settled has the stated risk of error, in seeded simulations with known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.resampled import go_through
from harness.analysis.judgements import MARGIN
from tests.harness.analysis.simulated import drifting, heavy_tailed, lingering, normal, outliers

LOOKS = (8, 12, 16, 20, 24)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [normal, heavy_tailed, outliers, drifting, lingering], ids=lambda one: one.__name__)
@pytest.mark.parametrize("contenders", [2, 6])
def test_equals_are_rarely_called_different_under_stopping(contenders, noise) -> None:
    rng = np.random.default_rng([19, contenders])
    for scale in (0.05, 0.2):  # the first is settled at an early look, the second continues to the end
        ended = go_through(scale * noise(rng, (1000, 5, contenders, LOOKS[-1])), LOOKS)
        assert ended.told_apart.any(axis=(1, 2)).sum() <= 0.05 * 1000


@pytest.mark.slow
def test_a_quiet_comparison_ends_early_and_a_noisy_one_continues() -> None:
    rng = np.random.default_rng(1)
    noise = normal(rng, (50, 5, 3, LOOKS[-1]))
    quiet, noisy = (go_through(scale * noise, LOOKS) for scale in (0.03, 0.3))
    assert np.median(quiet.rounds) == LOOKS[0]
    assert (noisy.rounds == LOOKS[-1]).all()


@pytest.mark.slow
def test_a_difference_of_the_margin_is_rarely_called_equivalent_under_stopping() -> None:
    rng = np.random.default_rng(2)
    logs = 0.1 * normal(rng, (2000, 5, 2, LOOKS[-1]))
    logs[:, :, 1] += math.log(MARGIN)
    ended = go_through(logs, LOOKS)
    assert ended.equivalent.any(axis=(1, 2)).sum() <= 0.05 * 2000
    logs[:, :, 1] += 0.2
    assert go_through(logs, LOOKS).told_apart[:, :4].all(axis=(1, 2)).mean() > 0.95
