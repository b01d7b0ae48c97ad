"""Delays before the next attempt, and the interval of liveness checks: the same for all adapters."""

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
    """An endless series of delays before the next attempt, in seconds: 0.05, 0.1, 0.2 … 1, each ±20% at random.

    Jitter keeps the replicas of a service from reconnecting in step.
    """
    rng = rng or random.Random()
    wait = FIRST_S
    while True:
        yield wait * rng.uniform(1 - JITTER, 1 + JITTER)
        wait = min(wait * FACTOR, LONGEST_S)


def heartbeat_s(endpoint: Endpoint) -> float:
    """How often to check a connection; without an answer within the endpoint's deadline it counts as lost."""
    return min(HEARTBEAT_S, endpoint.timeout_s / 2)
