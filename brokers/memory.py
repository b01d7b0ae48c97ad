"""No broker: producer and consumers meet in the process. This is the harness's floor, and what a single replica without a broker uses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from brokers.api import Delivery, Gap, Message
from brokers.endpoint import RUN_NAME, Endpoint
from brokers.errors import BrokerError, CauseKind, Refusal, refuse_history, shown
from brokers.inbox import BUFFER, Inbox
from brokers.link import Link
from brokers.topic_names import TopicNames

MAX_TOPIC_BYTES = 65_536
_spaces: dict[str, dict[str, list[Inbox]]] = {}
"""Subscribers by namespace and topic."""


def _space_name(endpoint: Endpoint) -> str:
    return f"{endpoint.prefix} {endpoint.host}/{endpoint.path}"


def _space(endpoint: Endpoint) -> dict[str, list[Inbox]]:
    return _spaces.setdefault(_space_name(endpoint), {})


def spaces_of(run_name: str) -> list[str]:
    """The names of the spaces that a run created and that still exist."""
    return [name for name in _spaces if name.startswith(f"{run_name} ")]


class MemoryProducer:
    """Hands each message to every subscribed consumer of this process."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._space = _space(endpoint)
        self._names = TopicNames(endpoint, MAX_TOPIC_BYTES)
        self.link = Link(endpoint, connected=True)
        self.closed = False

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once each consumer's buffer has the message, or counted it as lost."""
        if self.closed:
            what = f"publish on {shown(topic)}"
            raise BrokerError(self._endpoint, what, "the producer is closed", CauseKind.LOST, "open another one")
        for inbox in self._space.get(self._names.of(topic), ()):
            inbox.put(topic, payload)


class MemoryConsumer:
    """A buffer, listed under each of its topics."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._space = _space(endpoint)
        self._names = TopicNames(endpoint, MAX_TOPIC_BYTES)
        self._inbox = Inbox(endpoint.get(BUFFER))
        self.link = Link(endpoint, connected=True)

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Take effect at once; there is no history."""
        refuse_history(self._endpoint, since_ns)
        names, refused = self._names.sort_out(topics)
        for topic in names:
            inboxes = self._space.setdefault(topic, [])
            if self._inbox not in inboxes:
                inboxes.append(self._inbox)
        return refused

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
        """Leave every topic, and end the iteration after the waiting messages."""
        self._leave([topic for topic, inboxes in self._space.items() if self._inbox in inboxes])
        self._inbox.close()


class MemoryAdapter:
    """`memory://`, or `memory://NAME` for a separate space."""

    name = "memory"
    schemes = ("memory",)
    deliveries: tuple[Delivery, ...] = ("at-most-once",)
    replay = False
    max_topic_bytes = MAX_TOPIC_BYTES
    options = (BUFFER,)

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

    async def clean_up(self, endpoint: Endpoint) -> None:
        """Forget the spaces of the endpoint's run."""
        for name in spaces_of(endpoint.get(RUN_NAME)):
            del _spaces[name]


adapter = MemoryAdapter()
