"""Many comparisons, resampled from stored rounds or simulated: false alarms, power and widths under stopping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.analysis.boundaries import Looks, boundary, studentised
from harness.analysis.judgements import FIGURES, MARGIN
from harness.analysis.statistics import CONFIDENCE
from harness.results.run_record import Run

Floats = npt.NDArray[np.float64]
RISK = (1 - CONFIDENCE) / len(FIGURES)
HEADLINE = sum(figure.headline for figure in FIGURES)
"""The figures that decide whether a comparison ends are the first ones."""


@dataclass(frozen=True, slots=True)
class EndedComparisons:
    """How each of many comparisons ended; the half-widths are those of the last look, in logarithms."""

    told_apart: npt.NDArray[np.bool_]
    """Shape (comparisons, figures, pairs)."""
    equivalent: npt.NDArray[np.bool_]
    half_widths: Floats
    rounds: npt.NDArray[np.int64]


def go_through(logs: Floats, looks: Sequence[int], margin: float = MARGIN) -> EndedComparisons:
    """Process the looks until all pairs are settled.

    `logs` has the shape (comparisons, figures, contenders, rounds).
    """
    comparisons, _, contenders, _ = logs.shape
    first, second = np.triu_indices(contenders, 1)
    between = logs[:, :, second] - logs[:, :, first]
    shape = (comparisons, logs.shape[1], len(first))
    going, ended_at = np.ones(comparisons, np.bool_), np.zeros(comparisons, np.int64)
    apart, equal, widths = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_), np.zeros(shape)
    for look in looks:
        last = look == looks[-1]
        mean, error = studentised(between[..., :look])
        half = boundary(contenders, look, Looks(tuple(looks), settled=not last), RISK) * error
        differ = np.abs(mean) > half
        within = np.abs(mean) + half <= np.log(margin)
        done = going & ((differ | within)[:, :HEADLINE].all(axis=(1, 2)) | last)
        apart[done], equal[done], widths[done] = differ[done], within[done], half[done]
        ended_at[done] = look
        going &= ~done
    return EndedComparisons(apart, equal, widths, ended_at)


def noise_of(runs: Mapping[str, Mapping[int, Run]]) -> Floats:
    """The residuals of each figure's logarithm from the contender's mean; shape (figures, contenders, rounds).

    Uses only rounds that all contenders have, and keeps the common part of a round's runs.
    """
    common = sorted(set.intersection(*(set(by_round) for by_round in runs.values())))
    figures = []
    for figure in FIGURES:
        values = [[figure.value(by_round[number]) or np.nan for number in common] for by_round in runs.values()]
        logs = np.log(np.array(values, dtype=np.float64))
        figures.append(logs - logs.mean(axis=1, keepdims=True))
    return np.stack(figures)


def resample(noise: Floats, comparisons: int, contenders: int, rounds: int, seed: int = 1) -> Floats:
    """Comparisons of equals: whole rounds drawn with replacement, with contenders drawn for each comparison.

    The shape is (comparisons, figures, contenders, rounds). With n stored rounds, the variance of a drawn mean is too
    small by (n-1)/n, so the noise is scaled up.
    """
    rng = np.random.default_rng(seed)
    stored = noise.shape[2]
    scaled = noise * np.sqrt(stored / (stored - 1))
    drawn = rng.integers(0, stored, (comparisons, rounds))
    who = np.stack([rng.permutation(noise.shape[1])[:contenders] for _ in range(comparisons)])
    logs: Floats = scaled[:, who[:, :, None], drawn[:, None, :]].swapaxes(0, 1)
    return logs
