"""Delays before the next attempt, and the interval for signs of life: the same for all adapters."""

from __future__ import annotations

import random
from collections.abc import Iterator

from brokers.endpoint import Endpoint

FIRST_S = 0.05
LONGEST_S = 1.0
FACTOR = 2.0
JITTER = 0.2
HEARTBEAT_S = 2.5


def delays_s(rng: random.Random | None = None) -> Iterator[float]:
    """Seconds to wait before each further attempt, without end: 0.05, 0.1, 0.2 … 1, each ±20% at random.

    Jitter keeps the replicas of one service from coming back in step.
    """
    rng = rng or random.Random()
    wait = FIRST_S
    while True:
        yield wait * rng.uniform(1 - JITTER, 1 + JITTER)
        wait = min(wait * FACTOR, LONGEST_S)


def heartbeat_s(endpoint: Endpoint) -> float:
    """How often to request a connection's sign of life; without one within the endpoint's deadline, the connection counts as lost."""
    return min(HEARTBEAT_S, endpoint.timeout_s / 2)
