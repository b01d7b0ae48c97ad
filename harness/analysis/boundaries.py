"""How large a studentised difference must be to count, when several pairs are judged and a comparison may end early.

The boundary is group-sequential with an alpha-spending function (Lan and DeMets, "Discrete sequential boundaries for
clinical trials", Biometrika 70, 1983; its power family: Kim and DeMets, Biometrika 74, 1987). A look at n of the N
planned rounds has spent the share (n/N)^3 of the risk. A look that ends the comparison, because its rounds or its time
are over, spends the rest. The values are simulated with the same statistic, contenders and looks, so they include the
pairs' correlation and the small number of rounds. An interval of half-width boundary x standard error is a repeated
confidence interval (Jennison and Turnbull, J. R. Statist. Soc. B 51, 1989): it holds at all looks together, so under
stopping its statements about equivalence are as valid as those about differences.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

PRIOR_ROUNDS = 4
"""The weight, in rounds, of all pairs' median variance in the variance of one pair."""
SPENDING_POWER = 3
"""Early looks spend little risk: a difference that six rounds show is large."""
_SEED = 20_240_229
_SIMULATIONS = 40_000
_LEAST_SIMULATIONS = 10_000
_MOST_VALUES = 150_000_000
"""Total simulated values: beyond this there are fewer simulations, so that 20 contenders take only seconds."""


@dataclass(frozen=True, slots=True)
class Looks:
    """The looks of a comparison, and whether it stopped because it was settled."""

    planned: tuple[int, ...] = ()
    """Ascending; the last is the planned number of rounds. Empty: one look, at the end."""
    settled: bool = False

    def spent(self, rounds: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """The looks up to `rounds`, and the share of the risk spent by each."""
        most = max((*self.planned[-1:], rounds))
        made = (*(look for look in self.planned if look < rounds), rounds)
        shares = tuple((look / most) ** SPENDING_POWER for look in made)
        return made, shares if self.settled else (*shares[:-1], 1.0)


def studentised(differences: Floats) -> tuple[Floats, Floats]:
    """Mean of each pair's differences and its standard error; shape (..., pairs, rounds) to (..., pairs).

    A pair's variance is shrunk towards the median of all pairs (as limma does; Smyth 2004). This finds small
    differences among many contenders, and still holds if one contender is four times as noisy as the rest.
    """
    rounds = differences.shape[-1]
    variance = differences.var(axis=-1, ddof=1)
    return differences.mean(axis=-1), np.sqrt(moderated(variance, rounds) / rounds)


def moderated(variance: Floats, rounds: int) -> Floats:
    """Variances (..., pairs) shrunk towards their median, which has the weight of PRIOR_ROUNDS rounds."""
    if variance.shape[-1] == 1:
        return variance
    prior = np.median(variance, axis=-1, keepdims=True)
    drawn: Floats = (PRIOR_ROUNDS * prior + (rounds - 1) * variance) / (PRIOR_ROUNDS + rounds - 1)
    return drawn


def boundary(contenders: int, rounds: int, looks: Looks, risk: float) -> float:
    """The bound on the largest |difference / standard error| of any pair at `rounds`.

    Infinite if no risk may be spent yet. When all contenders are equal, the probability that any pair crosses the
    boundary at any look is `risk`.
    """
    made, shares = looks.spent(rounds)
    return _boundaries(contenders, made, tuple(risk * share for share in shares))[-1]


@functools.lru_cache(maxsize=256)
def _boundaries(contenders: int, looks: tuple[int, ...], risks: tuple[float, ...]) -> tuple[float, ...]:
    largest = _largest(contenders, looks)
    alive = np.ones(len(largest), dtype=np.bool_)
    found = []
    for place, risk in enumerate(risks):
        may_cross = int(risk * len(largest)) - int((~alive).sum())
        values = np.sort(largest[alive, place])
        value = float(values[-1 - may_cross]) if 0 < may_cross < len(values) else float("inf")
        found.append(value)
        alive &= largest[:, place] <= value
    return tuple(found)


@functools.lru_cache(maxsize=64)
def _largest(contenders: int, looks: tuple[int, ...]) -> Floats:
    """The largest |studentised difference| of any pair at each look, when all are equal; shape (simulations, looks)."""
    rng = np.random.default_rng([_SEED, contenders, *looks])
    first, second = np.triu_indices(contenders, 1)
    simulations = min(_SIMULATIONS, max(_LEAST_SIMULATIONS, _MOST_VALUES // (len(first) * sum(looks))))
    batch = max(1, 4_000_000 // (len(first) * looks[-1]))
    found: list[Floats] = []
    while sum(map(len, found)) < simulations:
        logs = rng.standard_normal((batch, contenders, looks[-1]), dtype=np.float32)
        between = (logs[:, first] - logs[:, second]).astype(np.float64)
        columns = []
        for look in looks:
            mean, error = studentised(between[..., :look])
            columns.append(np.abs(mean / error).max(axis=-1))
        found.append(np.stack(columns, axis=1))
    return np.concatenate(found)
