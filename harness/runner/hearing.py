"""Whether clients hear events at the rate at which they are published."""

from __future__ import annotations

import time
from collections import deque

from core.fault import LAST_SIGNS_S
from core.topics import expand_topics
from harness.runner.testbed import Testbed

ENOUGH = 0.9
"""Of what is due: a schedule is not even, and the load tells its counts five times a second."""


class Hearing:
    """Watches the deliveries of a run: ask `steady` often."""

    def __init__(self, testbed: Testbed) -> None:
        self._testbed = testbed
        scenario = testbed.scenario
        self._due_hz = scenario.rate_hz * scenario.clients / len(expand_topics(scenario.topics))
        self._seen: deque[tuple[float, int]] = deque()

    def steady(self) -> bool:
        """Whether over the last LAST_SIGNS_S seconds as much was delivered as was due, or nearly."""
        now_s, delivered = time.monotonic(), self._testbed.load.status().deliveries
        self._seen.append((now_s, delivered))
        while len(self._seen) > 2 and self._seen[1][0] <= now_s - LAST_SIGNS_S:
            self._seen.popleft()
        since_s, before = self._seen[0]
        if now_s - since_s < LAST_SIGNS_S:
            return False
        return bool(delivered - before >= ENOUGH * self._due_hz * (now_s - since_s))
