"""Comparisons simulated many at a time, recomputed here from the rule alone: false alarms and power under stopping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.analysis.boundaries import PRIOR_ROUNDS, Looks, boundary
from harness.analysis.judgements import FIGURES, MARGIN
from harness.analysis.statistics import CONFIDENCE

Floats = npt.NDArray[np.float64]
RISK = (1 - CONFIDENCE) / len(FIGURES)


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return rng.standard_normal(shape)


def heavy_tailed(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Student's t with two degrees of freedom: it has no variance."""
    return rng.standard_t(2, shape)


def outliers(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """One round in ten meets a hiccup of the machine that makes it ten standard deviations slower."""
    return rng.standard_normal(shape) + 10 * (rng.random(shape) < 0.1)


def drifting(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """What a round's contenders have in common goes up and down over the rounds, and is larger than their own noise."""
    common = rng.standard_normal((*shape[:-2], 1, shape[-1]))
    for number in range(1, shape[-1]):
        common[..., number] = 0.8 * common[..., number - 1] + 0.6 * common[..., number]
    return rng.standard_normal(shape) + 3 * common


def lingering(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """A contender's own noise lingers from one round to the next."""
    own = rng.standard_normal(shape)
    for number in range(1, shape[-1]):
        own[..., number] = 0.1 * own[..., number - 1] + 0.995 * own[..., number]
    return own


@dataclass(frozen=True, slots=True)
class Ended:
    """Of each simulated comparison: whether any pair was told apart when it ended, any was equivalent, and after how many rounds."""

    told_apart: npt.NDArray[np.bool_]
    equivalent: npt.NDArray[np.bool_]
    rounds: npt.NDArray[np.int64]


def compare(logs: Floats, looks: tuple[int, ...], headline: int = 4, margin: float = MARGIN) -> Ended:
    """Go through the looks until all pairs are settled; `logs` has the shape (comparisons, figures, contenders, rounds)."""
    comparisons, _, contenders, _ = logs.shape
    first, second = np.triu_indices(contenders, 1)
    between = logs[:, :, first] - logs[:, :, second]
    going = np.ones(comparisons, np.bool_)
    apart, equal = np.zeros(comparisons, np.bool_), np.zeros(comparisons, np.bool_)
    ended_at = np.zeros(comparisons, np.int64)
    for look in looks:
        last = look == looks[-1]
        mean = between[..., :look].mean(axis=-1)
        variance = between[..., :look].var(axis=-1, ddof=1)
        if len(first) > 1:
            middle = np.median(variance, axis=-1, keepdims=True)
            variance = (PRIOR_ROUNDS * middle + (look - 1) * variance) / (PRIOR_ROUNDS + look - 1)
        half = boundary(contenders, look, Looks(looks, settled=not last), RISK) * np.sqrt(variance / look)
        differ = np.abs(mean) > half
        within = np.abs(mean) + half <= np.log(margin)
        done = going & ((differ | within)[:, :headline].all(axis=(1, 2)) | last)
        apart |= done & differ.any(axis=(1, 2))
        equal |= done & within.any(axis=(1, 2))
        ended_at[done] = look
        going &= ~done
    return Ended(apart, equal, ended_at)
