"""The one backoff policy of all adapters, so that a comparison of faults compares brokers and not defaults."""

from __future__ import annotations

import random
from collections.abc import Iterator

FIRST_S = 0.05
LONGEST_S = 1.0
FACTOR = 2.0
JITTER = 0.2


def delays_s(rng: random.Random | None = None) -> Iterator[float]:
    """Seconds to wait before each further attempt, without end: 0.05, 0.1, 0.2 … 1, each ±20 % by chance.

    Jitter keeps the replicas of one service from coming back in step.
    """
    rng = rng or random.Random()
    wait = FIRST_S
    while True:
        yield wait * rng.uniform(1 - JITTER, 1 + JITTER)
        wait = min(wait * FACTOR, LONGEST_S)
