"""Discards what is too old from histories, a share of the topics at a time: all 100,000 at once would delay events."""

from __future__ import annotations

from collections.abc import Mapping

from server.topic import Topic

TOPICS = 250
"""Topics for each tick, about half a millisecond of work."""


class Expiry:
    """Goes through all topics again and again."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left: list[Topic] = []

    def tick(self, topics: Mapping[str, Topic], now_ns: int) -> int:
        """Discard frames of the next topics; return their bytes."""
        if not self._left:
            self._left = list(topics.values())
        some = self._left[-TOPICS:]
        del self._left[-TOPICS:]
        return sum(topic.history.expire(now_ns) for topic in some if topics.get(topic.name) is topic)
