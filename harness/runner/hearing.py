"""Checks whether every replica delivers events at the rate at which they are published."""

from __future__ import annotations

import time
from collections import deque

from core.fault import LAST_SIGNS_S
from core.topics import expand_topics
from harness.runner.testbed import Testbed

ENOUGH = 0.9
"""A sufficient share of the due events: schedules are uneven, and counts are sampled."""
_LOOK_S = 0.2


class Hearing:
    """Watches what each replica delivers; call `steady` often.

    Each replica is judged separately, because one that delivers its backlog would hide a silent one.
    """

    def __init__(self, testbed: Testbed) -> None:
        self._testbed = testbed
        rules = testbed.scenario.sessions
        self._due_hz = (
            rules.rate_hz[0] if rules else testbed.scenario.rate_hz / len(expand_topics(testbed.scenario.topics))
        )
        """A client's deliveries per second; with sessions, which differ and end, those of the slowest."""
        self._seen: deque[tuple[float, tuple[int, ...]]] = deque()
        self._clients = tuple(sum(topics.values()) for topics in testbed.clients_of_topics())
        """The sessions of each replica before the fault; afterwards there are about as many."""
        self._steady = False

    def steady(self) -> bool:
        """Whether each replica delivered nearly everything that was due in the last LAST_SIGNS_S seconds."""
        now_s = time.monotonic()
        if not self._seen or now_s - self._seen[-1][0] >= _LOOK_S:
            self._steady = self._look(now_s)
        return self._steady

    def _look(self, now_s: float) -> bool:
        found = self._testbed.stats()
        if any(stats is None for stats in found):
            self._seen.clear()
            return False
        self._seen.append((now_s, tuple(stats.delivered for stats in found if stats is not None)))
        while len(self._seen) > 2 and self._seen[1][0] <= now_s - LAST_SIGNS_S:
            self._seen.popleft()
        since_s, before = self._seen[0]
        if now_s - since_s < LAST_SIGNS_S:
            return False
        due = ENOUGH * self._due_hz * (now_s - since_s)
        counts = zip(self._seen[-1][1], before, self._clients, strict=True)
        return all(now - then >= due * clients for now, then, clients in counts)
