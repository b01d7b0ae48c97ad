"""A ranking by weights: its result in cases with a known answer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.errors import UsageError
from harness.choose.weights import weigh


def frame(figures: dict[str, tuple[float, float]], noise: float = 0.0, rounds: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = [
        {
            "contender": name,
            "delivery": "at-most-once",
            "ranked": True,
            "p99_ms": p99 * np.exp(rng.normal(0, noise)),
            "broker_rss_mb": size,
        }
        for _ in range(rounds)
        for name, (p99, size) in figures.items()
    ]
    return pd.DataFrame(rows)


def test_scores_are_geometric_means_of_multiples_of_the_best() -> None:
    ranked = weigh(frame({"fast": (10, 80), "small": (40, 20)}), {"p99_ms": 3, "broker_rss_mb": 1})
    assert list(ranked.index) == ["fast", "small"]
    assert ranked["score"].tolist() == pytest.approx([4**0.25, 4**0.75])
    assert ranked.loc["fast", ["low", "high"]].tolist() == pytest.approx([4**0.25] * 2)  # no noise, no range
    turned = weigh(frame({"fast": (10, 80), "small": (40, 20)}), {"p99_ms": 1, "broker_rss_mb": 3})
    assert list(turned.index) == ["small", "fast"]


def test_a_close_call_depends_on_the_weights_and_a_clear_one_does_not() -> None:
    close = weigh(frame({"fast": (10, 40), "small": (20, 20)}), {"p99_ms": 1, "broker_rss_mb": 1})
    assert close["first_by_weights"].between(0.4, 0.6).all()
    clear = weigh(frame({"best": (10, 20), "worse": (20, 40)}), {"p99_ms": 1, "broker_rss_mb": 1})
    assert clear.loc["best", "first_by_weights"] == 1.0
    assert clear["first_by_weights"].sum() == pytest.approx(1)


def test_noise_shows_as_chance() -> None:
    noisy = weigh(frame({"a": (10.0, 20), "b": (10.1, 20)}, noise=0.3), {"p99_ms": 1})
    assert noisy["first_by_chance"].max() < 0.99
    assert (noisy["high"] > noisy["low"]).all()
    quiet = weigh(frame({"a": (10.0, 20), "b": (15.0, 20)}, noise=0.01), {"p99_ms": 1})
    assert quiet.loc["a", "first_by_chance"] == 1.0


def test_refused_runs_and_contenders_without_a_figure_are_left_out() -> None:
    figures = frame({"memory": (5, float("nan")), "valkey": (10, 20), "nats": (12, 10)})
    figures.loc[figures["contender"] == "nats", "ranked"] = False
    assert list(weigh(figures, {"p99_ms": 1, "broker_rss_mb": 1}).index) == ["valkey"]


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"p98_ms": 1}, "no column 'p98_ms' in summary.csv; did you mean 'p99_ms'?"),
        ({"p99_ms": -1}, "a weight is 0 or more"),
        ({"p99_ms": 0}, "none is above 0"),
    ],
)
def test_useless_weights_are_refused(weights: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        weigh(frame({"a": (1, 1)}), weights)
    assert said in str(caught.value)


def test_it_says_if_no_contender_has_every_figure() -> None:
    with pytest.raises(UsageError, match="no contender has p99_ms, broker_rss_mb"):
        weigh(frame({"memory": (5, float("nan"))}), {"p99_ms": 1, "broker_rss_mb": 1})


def test_unequal_promises_are_not_ranked_together() -> None:
    figures = frame({"valkey": (10, 20), "valkey-streams": (11, 20)})
    figures.loc[figures["contender"] == "valkey-streams", "delivery"] = "at-least-once"
    with pytest.raises(UsageError, match="at-least-once and at-most-once are not ranked together"):
        weigh(figures, {"p99_ms": 1})
