"""The order of runs: interleaved, shuffled rounds, so that a drift of the machine affects every contender equally."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Slot(NamedTuple):
    """One run to do: its round, from 1, and its contender's index in the list."""

    round: int
    place: int


def shuffled_rounds(contenders: int, rounds: int, seed: int) -> list[Slot]:
    """Return rounds with each contender once; each round has its own order, which depends only on the seed."""
    rng = random.Random(seed)
    return [
        Slot(number, index) for number in range(1, rounds + 1) for index in rng.sample(range(contenders), contenders)
    ]


def distinct_names(names: Sequence[str]) -> list[str]:
    """The names, with suffixes `#2`, `#3` … for repeated ones: a contender may be compared with itself."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return result
