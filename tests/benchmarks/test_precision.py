"""The claimed precision is that of the stored rounds: resampled noise has their spread, and cases with known answers get them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import precision
from benchmarks.resampled import go_through, noise_of, resample
from core.errors import UsageError
from harness.analysis.judgements import FIGURES, P99
from harness.report.notebook import RESULTS
from harness.results.store import open_results
from tests.harness import made_up


def test_resampled_rounds_have_the_spread_and_the_pairing_of_the_stored_ones() -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(0, 0.3, (5, 1, 40))
    noise = common + rng.normal(0, 0.1, (5, 3, 40))
    noise -= noise.mean(axis=2, keepdims=True)
    drawn = resample(noise, 300, 2, 30)
    assert drawn.shape == (300, 5, 2, 30)
    between = drawn[:, :, 0] - drawn[:, :, 1]
    assert between.std() == pytest.approx(0.1 * 2**0.5, rel=0.1)  # the common part of a round is removed
    assert drawn.std() == pytest.approx(noise.std(), rel=0.1)
    assert abs(between.mean()) < 0.01


def test_noise_comes_from_common_rounds_and_has_no_mean() -> None:
    runs = {
        name: {r: made_up.run(name, r) for r in rounds} for name, rounds in (("a", range(1, 9)), ("b", range(3, 12)))
    }
    noise = noise_of(runs)
    assert noise.shape == (len(FIGURES), 2, 6)
    assert np.allclose(noise.mean(axis=2), 0)
    p99 = [run.histograms["latency"].percentile_ms(99) for r, run in runs["a"].items() if r in range(3, 9)]
    logs = np.log(p99)
    assert np.allclose(noise[FIGURES.index(P99), 0], logs - logs.mean())


def test_a_real_difference_is_found_and_the_width_follows_the_noise() -> None:
    rng = np.random.default_rng(2)
    logs = rng.normal(0, 0.02, (200, 5, 2, 24))
    logs[:, :, 1] += np.log(1.1)
    found = go_through(logs, (24,))
    assert found.told_apart.mean() > 0.99
    assert np.exp(np.median(found.half_widths)) == pytest.approx(np.exp(3.2 * 0.02 * (2 / 24) ** 0.5), rel=0.01)


@pytest.mark.slow
def test_stored_rounds_give_a_table_with_every_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("valkey", "nats", "redis")
    for rounds, kept in ((12, tmp_path / "enough"), (5, tmp_path / "few")):
        folder = open_results(kept, "made-up", scenario=made_up.SCENARIO, command="", host={}, versions={})
        for number in range(1, rounds + 1):
            for name in (*names, "memory"):
                folder.add_run(made_up.run(name, number))
        monkeypatch.setenv(RESULTS, str(folder.finish(complete=True)))
        if rounds == 12:
            table = precision.precision(precision.QUICK, tmp_path, lambda words: None)
            assert [row.name for row in table.rows] == ["2 contenders", "3 contenders"]
            assert len(table.bars) == 2 * (1 + 3 + 3)
            assert all(bar.figure is not None for bar in table.bars)
        else:
            with pytest.raises(UsageError, match="5 valid rounds in common, and 8 are needed"):
                precision.precision(precision.QUICK, tmp_path, lambda words: None)
