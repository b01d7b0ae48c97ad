"""Topics as a broker knows them, checked against the protocol's limit before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from brokers.endpoint import MAX_TOPIC_BYTES, Endpoint
from brokers.errors import Refusal, TopicRefusedError

TOPICS = 65_536
"""The largest number of names that an adapter remembers."""


class TopicNames:
    """`of(topic)` is the broker's name for a topic; the limit, in bytes of UTF-8, applies to it."""

    def __init__(self, endpoint: Endpoint, max_topic_bytes: int, name_of: Callable[[str], str] = str) -> None:
        """`name_of` may raise ValueError if the protocol cannot name the topic."""
        self._endpoint = endpoint
        self._max_bytes = min(max_topic_bytes, endpoint.get(MAX_TOPIC_BYTES) or max_topic_bytes)
        self._name_of = name_of
        self.of: Callable[[str], str] = lru_cache(TOPICS)(self._checked)
        """The name to publish to; raises TopicRefusedError for a topic that cannot be used."""

    def _checked(self, topic: str) -> str:
        try:
            return self._named(topic)
        except ValueError as error:
            raise TopicRefusedError(self._endpoint, "publish on", topic, Refusal("invalid", str(error))) from None

    def _named(self, topic: str) -> str:
        if not isinstance(topic, str) or not topic:
            raise ValueError("a topic is a word of one character or more")
        name = self._name_of(topic)
        size = len(name.encode())  # UnicodeEncodeError, for half a surrogate pair, is a ValueError
        if size > self._max_bytes:
            raise ValueError(f"{size} bytes of UTF-8, but the longest allowed name has {self._max_bytes}")
        return name

    def sort_out(self, topics: Iterable[str]) -> tuple[dict[str, str], dict[str, Refusal]]:
        """The topics that can be used, by name, and those that cannot, with the reason."""
        names: dict[str, str] = {}
        refused: dict[str, Refusal] = {}
        for topic in topics:
            try:
                names[self.of(topic)] = topic
            except TopicRefusedError as error:
                refused[topic] = error.refusal
        return names, refused

    def known(self, topics: Iterable[str]) -> dict[str, str]:
        """The topics that can be used, by name; the others were never subscribed."""
        return self.sort_out(topics)[0]
