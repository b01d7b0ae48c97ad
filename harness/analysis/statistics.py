"""What the rounds allow us to conclude: intervals, and differences paired by round.

All comparisons are of logarithms, so a difference is a ratio. With five rounds no distribution-free test can reach
5% (the best two-sided sign test reaches 2/2^5 = 6%), and a plain bootstrap of five values is too narrow. So:

- the interval of one contender's figure is a bootstrap over its rounds, at levels widened for few rounds (Hesterberg,
  "What Teachers Should Know About the Bootstrap", 2015, section 5.3);
- contenders are compared by the largest studentised difference over all pairs (Westfall and Young's max T), which
bounds the risk of even one false difference over all pairs; harness/analysis/boundaries.py has the critical values,
also for early stopping.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from harness.analysis.boundaries import Looks, boundary, moderated

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.98
MIN_ROUNDS = 5
ONE_LOOK = Looks()
LEAST = 1e-3
"""Smaller figures are compared as this value: a microsecond is the histogram's unit."""

_SEED = 20_240_229
_LEAST_ERROR = 1e-9
"""The smallest error of a logarithm: an infinite boundary times zero is not a number."""
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its range at CONFIDENCE."""

    estimate: float
    low: float
    high: float

    def above(self, value: float) -> bool:
        """Whether the whole range is above `value`."""
        return self.low > value


@dataclass(frozen=True, slots=True)
class Difference:
    """The ratio of `slower`'s figure to `faster`'s, from their common rounds."""

    faster: str
    slower: str
    ratio: Interval
    """The ratio is at least 1; its range is simultaneous over all pairs of the comparison."""
    rounds: int

    @property
    def significant(self) -> bool:
        """Whether the two can be distinguished."""
        return self.ratio.above(1.0)


def bootstrap_interval(estimates: Floats, estimate: float, rounds: int) -> Interval:
    """The interval of `estimate` from its values in bootstrap resamples, widened for few rounds."""
    widened = t_critical(rounds - 1) * (rounds / (rounds - 1)) ** 0.5
    tail = NormalDist().cdf(-widened)
    low, high = np.quantile(estimates, [tail, 1 - tail])
    return Interval(estimate, float(min(low, estimate)), float(max(high, estimate)))


def resampled_rounds(rounds: int) -> npt.NDArray[np.int64]:
    """Rounds drawn with replacement, shape (resamples, rounds); the draw depends only on the number of rounds."""
    return np.random.default_rng(_SEED).integers(0, rounds, (_RESAMPLES, rounds))


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean of one value per round, and its bootstrap interval; needs two rounds or more."""
    array = np.asarray(values, dtype=np.float64)
    return bootstrap_interval(array[resampled_rounds(len(array))].mean(axis=1), float(array.mean()), len(array))


def t_critical(degrees: int) -> float:
    """The two-sided critical value of Student's t at CONFIDENCE."""
    return _t_quantile(degrees, CONFIDENCE)


def differences(
    values: Mapping[str, Mapping[int, float]], looks: Looks = ONE_LOOK, risk: float = 1 - CONFIDENCE
) -> list[Difference]:
    """Compare every pair of contenders, each given as its figure by round.

    Leave out pairs with under MIN_ROUNDS common rounds. The figures are of one kind and positive (latency, CPU). `risk`
    is that of any false `significant` over all pairs and looks.
    """
    names = sorted(values)
    pairs: list[tuple[str, str, Floats]] = []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            common = sorted(values[first].keys() & values[second].keys())
            if len(common) >= MIN_ROUNDS:
                ratios = _logs(values[second], common) - _logs(values[first], common)
                pairs.append((first, second, ratios))
    if not pairs:
        return []
    fewest = min(len(ratios) for _, _, ratios in pairs)
    variances = np.array([ratios.var(ddof=1) for _, _, ratios in pairs])
    errors = np.sqrt(moderated(variances, fewest) / [len(ratios) for _, _, ratios in pairs])
    critical = boundary(len(names), fewest, looks, risk)
    return [
        _difference(first, second, float(ratios.mean()), critical * max(float(error), _LEAST_ERROR), len(ratios))
        for (first, second, ratios), error in zip(pairs, errors, strict=True)
    ]


def _logs(by_round: Mapping[int, float], rounds: Sequence[int]) -> Floats:
    return np.log(np.maximum([by_round[number] for number in rounds], LEAST))


def _difference(first: str, second: str, mean: float, margin: float, rounds: int) -> Difference:
    faster, slower = (first, second) if mean >= 0 else (second, first)
    estimate, low, high = np.exp([abs(mean), abs(mean) - margin, abs(mean) + margin])
    return Difference(faster, slower, Interval(float(estimate), float(low), float(high)), rounds)


def independent_ratio(before: Sequence[float], now: Sequence[float], comparisons: int = 1) -> Interval:
    """Return the ratio of `now` to `before`, two samples of rounds that were not interleaved.

    Welch's t on the logarithms, with the smaller sample's degrees of freedom (conservative), at a level divided by the
    number of `comparisons` (Bonferroni). Each sample needs two rounds or more.
    """
    logs = [np.log(np.maximum(np.asarray(sample, dtype=np.float64), LEAST)) for sample in (before, now)]
    mean = float(logs[1].mean() - logs[0].mean())
    error = float(np.sqrt(sum(sample.var(ddof=1) / len(sample) for sample in logs)))
    margin = _t_quantile(min(map(len, logs)) - 1, 1 - (1 - CONFIDENCE) / comparisons) * error
    low, high = np.exp([mean - margin, mean + margin])
    return Interval(float(np.exp(mean)), float(low), float(high))


@functools.lru_cache(maxsize=64)
def _t_quantile(degrees: int, confidence: float) -> float:
    """The value that |t| stays below with probability `confidence`, from Student's density integrated numerically."""
    # With t = sqrt(v) tan(a) the density becomes cos(a)^(v-1) on a finite range.
    angles = np.linspace(0, np.pi / 2, 200_001)
    mass = np.cumsum(np.cos(angles) ** (degrees - 1))
    mass /= mass[-1]
    return float(np.sqrt(degrees) * np.tan(angles[np.searchsorted(mass, confidence)]))
