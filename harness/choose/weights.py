"""Ranks contenders by your own weights, and shows how much the ranking depends on the weights and on chance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.errors import UsageError, nearest
from harness.analysis.statistics import LEAST, resampled_rounds

Floats = npt.NDArray[np.float64]
_SEED = 20_240_229
DRAWS = 2000


def weigh(frame: pd.DataFrame, weights: Mapping[str, float], doubt: float = 0.5) -> pd.DataFrame:
    """Rank contenders by weighted columns of summary.csv in which less is better.

    `frame` is `harness.results.frames.summary_frame` of one comparison; only its `ranked` runs count. A contender's score is the
    weighted geometric mean of its figures (median over rounds), each as a multiple of the best one's. 1.0 means best in
    everything; 2.0 means twice as slow or large overall. Contenders that lack one of the figures are left out.

    The result has a row per contender, best first, with `score`, `low` and `high` (98% range of the score over
    resampled rounds), `first_by_chance` (the share of resampled rounds in which it comes first) and `first_by_weights`
    (the same share over weights that are varied by a log-normal factor of width `doubt`).

    Raises:
        UsageError: a column is not in the frame, no weight is above 0, no contender has all figures, or the promises of
            the contenders differ.
    """
    promises = sorted(set(frame["delivery"]))
    if len(promises) > 1:
        raise UsageError(f"weights: {' and '.join(promises)} are not ranked together; select one promise of the frame")
    for column, weight in weights.items():
        if column not in frame.columns:
            raise UsageError(f"weights: no column '{column}' in summary.csv; {nearest(column, frame.columns)}")
        if weight < 0:
            raise UsageError(f"weights: {column} = {weight}: a weight is 0 or more")
    shares = np.array(list(weights.values()), dtype=np.float64)
    if not shares.sum():
        raise UsageError("weights: none is above 0; give what matters, for instance {'p99_ms': 2, 'broker_rss_mb': 1}")
    shares /= shares.sum()
    valid = frame[frame["ranked"]].dropna(subset=list(weights))
    rounds = {str(name): rows[list(weights)].to_numpy(np.float64) for name, rows in valid.groupby("contender")}
    if not rounds:
        raise UsageError(f"weights: no contender has {', '.join(weights)} in a valid run; choose other columns")
    return _ranking(rounds, shares, doubt)


def _ranking(rounds: Mapping[str, Floats], shares: Floats, doubt: float) -> pd.DataFrame:
    middle = np.stack([np.median(figures, axis=0) for figures in rounds.values()])
    resampled = np.stack([_resampled_medians(figures) for figures in rounds.values()], axis=1)
    chance = _scores(resampled, shares)
    factors = np.random.default_rng(_SEED).lognormal(0, doubt, (DRAWS, len(shares)))
    drawn = factors * shares / (factors * shares).sum(axis=1, keepdims=True)
    by_weights = _scores(np.broadcast_to(middle, (DRAWS, *middle.shape)), drawn)
    places = range(len(rounds))
    table = pd.DataFrame(
        {
            "score": _scores(middle[np.newaxis], shares)[0],
            "low": np.quantile(chance, 0.01, axis=0),
            "high": np.quantile(chance, 0.99, axis=0),
            "first_by_chance": [float((chance.argmin(axis=1) == place).mean()) for place in places],
            "first_by_weights": [float((by_weights.argmin(axis=1) == place).mean()) for place in places],
        },
        index=pd.Index(list(rounds), name="contender"),
    )
    return table.sort_values("score")


def _resampled_medians(figures: Floats) -> Floats:
    """Medians over resampled rounds: shape (rounds, columns) to (resamples, columns)."""
    medians: Floats = np.median(figures[resampled_rounds(len(figures))], axis=1)
    return medians


def _scores(figures: Floats, shares: Floats) -> Floats:
    """Weighted geometric means of multiples of the best: (draws, contenders, columns) to (draws, contenders)."""
    logs = np.log(np.maximum(figures, LEAST))
    above = logs - logs.min(axis=1, keepdims=True)
    return np.asarray(np.exp((above * np.atleast_2d(shares)[:, np.newaxis, :]).sum(axis=2)))
