"""No broker: producer and consumers meet in the process. The floor of the harness, and what a lone replica shows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from brokers.api import Delivery, Gap, Message
from brokers.endpoint import BrokerError, Endpoint, refuse_history
from brokers.inbox import DEFAULT_CAPACITY, OPTION, Inbox

_spaces: dict[str, dict[str, list[Inbox]]] = {}
"""By the URL's host and path, then by topic: who is subscribed."""


def _space(endpoint: Endpoint) -> dict[str, list[Inbox]]:
    return _spaces.setdefault(f"{endpoint.host}/{endpoint.path}", {})


class MemoryProducer:
    """Hands each message to every subscribed consumer of this process."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._space = _space(endpoint)
        self.closed = False

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once each consumer's buffer has the message, or counted it as lost."""
        if self.closed:
            raise BrokerError(self._endpoint, f"publish on '{topic}'", "the producer is closed", "open another one")
        for inbox in self._space.get(topic, ()):
            inbox.put(topic, payload)


class MemoryConsumer:
    """A buffer, listed under each of its topics."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._space = _space(endpoint)
        self._inbox = Inbox(endpoint.whole_number("buffer", DEFAULT_CAPACITY))

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> None:
        """Take effect at once; there is no history."""
        refuse_history(self._endpoint, since_ns)
        for topic in topics:
            inboxes = self._space.setdefault(topic, [])
            if self._inbox not in inboxes:
                inboxes.append(self._inbox)

    async def unsubscribe(self, *topics: str) -> None:
        """Take effect at once."""
        self._leave(topics)
        self._inbox.discard(topics)

    def _leave(self, topics: Iterable[str]) -> None:
        for topic in topics:
            inboxes = self._space.get(topic, [])
            if self._inbox in inboxes:
                inboxes.remove(self._inbox)
            if not inboxes:
                self._space.pop(topic, None)

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self._inbox

    def close(self) -> None:
        """Leave every topic, and end the iteration after what is held."""
        self._leave([topic for topic, inboxes in self._space.items() if self._inbox in inboxes])
        self._inbox.close()


class MemoryAdapter:
    """`memory://`, or `memory://NAME` for a space of its own."""

    name = "memory"
    schemes = ("memory",)
    deliveries: tuple[Delivery, ...] = ("at-most-once",)
    replay = False
    options = OPTION

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[MemoryProducer]:
        """Never fails."""
        producer = MemoryProducer(endpoint)
        try:
            yield producer
        finally:
            producer.closed = True

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[MemoryConsumer]:
        """Never fails."""
        consumer = MemoryConsumer(endpoint)
        try:
            yield consumer
        finally:
            consumer.close()


adapter = MemoryAdapter()
