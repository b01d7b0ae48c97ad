"""Topics that may have caused a broker to close a producer's connection: RabbitMQ 3 does so instead of refusing a publish."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from brokers.errors import Refusal
from brokers.mqtt_link import Connection
from brokers.mqtt_scout import Scout
from brokers.topic_names import TOPICS

_FRESH_S = 2.0
_REMEMBER_S = 30.0
"""How long a refused topic is refused here: each request for it costs a connection."""


class Suspects:
    """Topics first published shortly before the connection was lost: their next publish uses a scout."""

    def __init__(self, new: Callable[[], Connection]) -> None:
        self.scout = Scout(new, 1)
        self.settled: set[str] = set()
        """Known topics that are not suspects."""
        self._suspects: set[str] = set()
        self._first_s: dict[str, float] = {}
        """The time of the first publish to each topic."""
        self._refused: dict[str, tuple[float, Refusal]] = {}
        self._under_way: Counter[str] = Counter()

    def settle(self, name: str) -> bool:
        """Accept a topic unless it is a suspect, and forget the oldest if there are too many.

        Return False for a suspect.
        """
        if name in self._suspects:
            return False
        self._first_s[name] = asyncio.get_running_loop().time()
        self.settled.add(name)
        if len(self._first_s) > TOPICS:
            oldest = next(iter(self._first_s))
            del self._first_s[oldest]
            self.settled.discard(oldest)
        return True

    def lost(self) -> None:
        """The connection was lost."""
        now_s = asyncio.get_running_loop().time()
        self._suspects |= {name for name, first_s in self._first_s.items() if now_s - first_s < _FRESH_S}
        self.settled -= self._suspects

    async def publish(self, name: str, payload: bytes) -> Refusal | None:
        """Publish to a suspect, in the order of the calls; if the broker accepts the publish, it is no longer one.

        Raises:
            MqttError, OSError: the broker cannot be connected to, or does not answer.
        """
        until_s, refusal = self._refused.get(name, (0.0, None))
        if refusal is not None and until_s > asyncio.get_running_loop().time():
            return refusal
        self._under_way[name] += 1
        try:
            refusal = await self.scout.publish(name, payload)
        finally:
            self._under_way[name] -= 1
        if refusal is not None:
            self._refused[name] = (asyncio.get_running_loop().time() + _REMEMBER_S, refusal)
        elif not self._under_way[name]:
            self._suspects.discard(name)
            self._refused.pop(name, None)
            self.settled.add(name)
        return refusal
