"""Measures how long publishing failed."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from brokers.api import Done
from brokers.errors import BrokerError
from core.latency_buckets import NS_PER_S, LatencyBuckets


class WatchedPublish:
    """Publishes, and keeps the longest time from the start of a publish that failed, or waited, to the next success."""

    def __init__(self, publish: Callable[[str, bytes], Awaitable[None]]) -> None:
        self._publish = publish
        self._down_since_s: float | None = None
        self._longest_s = 0.0
        self.took = LatencyBuckets()
        """The durations of successful publishes."""

    async def __call__(self, topic: str, payload: bytes) -> None:
        """Publish.

        Raises:
            Exception: whatever the adapter raises.
        """
        started_s = time.monotonic()
        try:
            await self._publish(topic, payload)
        except Exception:
            self._failed(started_s)
            raise
        self._succeeded(started_s)

    def watch(self, done: Done) -> Done:
        """Watch a publish that begins now; return the function to call when it is done, which calls `done`."""
        started_s = time.monotonic()

        def watched(error: BrokerError | None) -> None:
            if error is None:
                self._succeeded(started_s)
            else:
                self._failed(started_s)
            done(error)

        return watched

    def _failed(self, started_s: float) -> None:
        self._down_since_s = started_s if self._down_since_s is None else min(self._down_since_s, started_s)

    def _succeeded(self, started_s: float) -> None:
        now_s = time.monotonic()
        self.took.add(round((now_s - started_s) * NS_PER_S))
        if self._down_since_s is not None and started_s >= self._down_since_s:
            started_s, self._down_since_s = self._down_since_s, None
        self._longest_s = max(self._longest_s, now_s - started_s)

    def longest_ms(self) -> float:
        """The outage so far, if publishing fails now."""
        down_s = 0.0 if self._down_since_s is None else time.monotonic() - self._down_since_s
        return round(1000 * max(self._longest_s, down_s), 3)
