"""Noise of several kinds for simulated comparisons.

The arrays have the shape (comparisons, figures, contenders, rounds).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return rng.standard_normal(shape)


def heavy_tailed(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Student's t with two degrees of freedom: it has no variance."""
    return rng.standard_t(2, shape)


def outliers(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """In one round of ten the machine has a hiccup, which makes it ten standard deviations slower."""
    return rng.standard_normal(shape) + 10 * (rng.random(shape) < 0.1)


def drifting(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """The part that a round's contenders have in common varies, and is larger than their own noise."""
    common = rng.standard_normal((*shape[:-2], 1, shape[-1]))
    for number in range(1, shape[-1]):
        common[..., number] = 0.8 * common[..., number - 1] + 0.6 * common[..., number]
    return rng.standard_normal(shape) + 3 * common


def lingering(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """A contender's own noise is correlated from one round to the next."""
    own = rng.standard_normal(shape)
    for number in range(1, shape[-1]):
        own[..., number] = 0.1 * own[..., number - 1] + 0.995 * own[..., number]
    return own
