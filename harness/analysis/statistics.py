"""What rounds allow us to say: intervals, differences paired by round, and contenders that cannot be told apart.

All comparisons are of logarithms, so a difference is a ratio. With five rounds no distribution-free test can reach
5 % (the best two-sided sign test stands at 2/2^5 = 6 %), and a plain bootstrap of five values is too narrow. So:

- the interval of one contender's figure is a bootstrap over its rounds, at levels widened for few rounds (Hesterberg,
  "What Teachers Should Know About the Bootstrap", 2015, section 5.3);
- contenders are told apart by the largest studentised difference over all pairs (Westfall and Young's max T), so that
  the risk of even one false difference in a comparison is 1 - CONFIDENCE. The variance of a pair is drawn towards the
  median of all pairs (as limma does; Smyth 2004) with the weight of PRIOR_ROUNDS rounds, which finds small
  differences among many contenders and still holds where one contender is four times as noisy as the rest
  (tests/harness/analysis/test_statistics.py simulates it). The critical value is simulated for the number of contenders and rounds.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.98
MIN_ROUNDS = 5
PRIOR_ROUNDS = 4
LEAST = 1e-3
"""Figures are compared as if none were below this: a microsecond is the histogram's unit."""

_SEED = 20_240_229
_RESAMPLES = 2000
_SIMULATIONS = 20_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the range in which it lies at CONFIDENCE."""

    estimate: float
    low: float
    high: float

    def above(self, value: float) -> bool:
        """Whether the whole range lies above `value`."""
        return self.low > value


@dataclass(frozen=True, slots=True)
class Difference:
    """How many times larger `slower`'s figure is than `faster`'s, from the rounds that both have."""

    faster: str
    slower: str
    ratio: Interval
    """At least 1; the range is simultaneous over all pairs of the comparison."""
    rounds: int

    @property
    def significant(self) -> bool:
        """Whether the two can be told apart."""
        return self.ratio.above(1.0)


def bootstrap_interval(estimates: Floats, estimate: float, rounds: int) -> Interval:
    """The interval of `estimate` from its value in each bootstrap resample, widened for few rounds."""
    widened = t_critical(rounds - 1) * (rounds / (rounds - 1)) ** 0.5
    tail = NormalDist().cdf(-widened)
    low, high = np.quantile(estimates, [tail, 1 - tail])
    return Interval(estimate, float(min(low, estimate)), float(max(high, estimate)))


def resampled_rounds(rounds: int) -> npt.NDArray[np.int64]:
    """Rounds drawn with replacement, shape (resamples, rounds): the same for the same number of rounds."""
    return np.random.default_rng(_SEED).integers(0, rounds, (_RESAMPLES, rounds))


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean of one value per round, and its bootstrap interval; needs two rounds or more."""
    array = np.asarray(values, dtype=np.float64)
    return bootstrap_interval(array[resampled_rounds(len(array))].mean(axis=1), float(array.mean()), len(array))


def t_critical(degrees: int) -> float:
    """The two-sided critical value of Student's t at CONFIDENCE."""
    return _t_quantile(degrees, CONFIDENCE)


def _studentised(differences: Floats) -> tuple[Floats, Floats]:
    """Mean and moderated standard error of each pair's differences; shape (..., pairs, rounds) to (..., pairs)."""
    rounds = differences.shape[-1]
    variance = differences.var(axis=-1, ddof=1)
    return differences.mean(axis=-1), np.sqrt(_moderated(variance, rounds) / rounds)


def _moderated(variance: Floats, rounds: int) -> Floats:
    """Variances (..., pairs) drawn towards their median, which weighs as much as PRIOR_ROUNDS rounds."""
    if variance.shape[-1] == 1:
        return variance
    prior = np.median(variance, axis=-1, keepdims=True)
    moderated: Floats = (PRIOR_ROUNDS * prior + (rounds - 1) * variance) / (PRIOR_ROUNDS + rounds - 1)
    return moderated


@functools.lru_cache(maxsize=64)
def critical_value(contenders: int, rounds: int) -> float:
    """What the largest |studentised difference| of any pair stays below at CONFIDENCE when all are equal."""
    rng = np.random.default_rng([_SEED, contenders, rounds])
    first, second = np.triu_indices(contenders, 1)
    batch = max(1, 2_000_000 // (len(first) * rounds))
    largest: list[Floats] = []
    while sum(map(len, largest)) < _SIMULATIONS:
        logs = rng.standard_normal((batch, contenders, rounds))
        mean, error = _studentised(logs[:, first] - logs[:, second])
        largest.append(np.abs(mean / error).max(axis=-1))
    return float(np.quantile(np.concatenate(largest), CONFIDENCE))


def differences(values: Mapping[str, Mapping[int, float]]) -> list[Difference]:
    """Every pair of contenders, each given as its figure by round; pairs with under MIN_ROUNDS rounds in common are left out.

    The figures are of one kind and positive (latency, CPU). The risk of one false `significant` among all pairs
    together is 1 - CONFIDENCE.
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
    errors = np.sqrt(_moderated(variances, fewest) / [len(ratios) for _, _, ratios in pairs])
    critical = critical_value(len(names), fewest)
    return [
        _difference(first, second, float(ratios.mean()), critical * float(error), len(ratios))
        for (first, second, ratios), error in zip(pairs, errors, strict=True)
    ]


def _logs(by_round: Mapping[int, float], rounds: Sequence[int]) -> Floats:
    return np.log(np.maximum([by_round[number] for number in rounds], LEAST))


def _difference(first: str, second: str, mean: float, margin: float, rounds: int) -> Difference:
    faster, slower = (first, second) if mean >= 0 else (second, first)
    estimate, low, high = np.exp([abs(mean), abs(mean) - margin, abs(mean) + margin])
    return Difference(faster, slower, Interval(float(estimate), float(low), float(high)), rounds)


def groups(values: Mapping[str, Mapping[int, float]]) -> list[list[str]]:
    """Contenders in groups, the fastest first: none in a group can be told from the group's first.

    A contender without MIN_ROUNDS rounds in common with each of the others is in no group.
    """
    ranked = [name for name in values if len(values[name]) >= MIN_ROUNDS]
    told_apart = {
        frozenset((found.faster, found.slower)): found.significant
        for found in differences({name: values[name] for name in ranked})
    }
    rest = sorted(ranked, key=lambda name: float(_logs(values[name], sorted(values[name])).mean()))
    rest = [name for name in rest if all(frozenset((name, other)) in told_apart for other in rest if other != name)]
    result: list[list[str]] = []
    while rest:
        leader = rest[0]
        group = [name for name in rest if name == leader or not told_apart[frozenset((leader, name))]]
        result.append(group)
        rest = [name for name in rest if name not in group]
    return result


def independent_ratio(before: Sequence[float], now: Sequence[float], comparisons: int = 1) -> Interval:
    """How many times larger `now` is than `before`, two samples of rounds that were not run in turn.

    Welch's t on the logarithms, its degrees of freedom taken as the smaller sample's (conservative), at a level
    divided by the number of `comparisons` made at once (Bonferroni). Needs two rounds or more in each.
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
