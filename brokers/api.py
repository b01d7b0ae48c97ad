"""The contract of an adapter, as structural protocols: a plug-in needs no base class.

docs/adapters.md explains each promise; brokers/conformance tests it; brokers/sdk is what a plug-in imports.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, Refusal
from brokers.options import Option

Delivery = Literal["at-most-once", "at-least-once"]
Done = Callable[[BrokerError | None], None]
Take = Callable[[str, bytes], None]
"""Takes a message: topic and payload."""


class Message(NamedTuple):
    """One message with its unchanged payload."""

    topic: str
    payload: bytes


class Gap(NamedTuple):
    """A place where messages may be missing, between the one before and the one after it."""

    cause: str
    """`connection lost`, `overflow`, `trimmed`, `forbidden` or `invalid`, and the broker's message."""
    lost: int | None
    """How many messages are missing; None if the adapter cannot know."""
    topic: str | None = None
    """Its topic; None for all topics of this consumer."""


class LinkState(Protocol):
    """Whether a side's connection to the broker is up; brokers.link.Link is one."""

    @property
    def connected(self) -> bool: ...

    @property
    def cause(self) -> str:
        """Why it is not connected; empty while it is."""

    @property
    def notice(self) -> str:
        """What fails although it is connected: an alarm, a lost part of a cluster. Empty if everything works."""

    @property
    def skipped(self) -> Mapping[str, int]:
        """How many foreign or unreadable messages were skipped, by reason."""

    async def changed(self) -> None:
        """Return when `connected` or `notice` has changed."""


class Producer(Protocol):
    """Publishes. Order is kept per topic in the order of the calls, also for concurrent calls."""

    @property
    def link(self) -> LinkState: ...

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the endpoint's delivery promise is met.

        Raises:
            TopicRefusedError: this topic cannot be used; others are not affected.
            BrokerError: the promise cannot be met, for example because the connection is down.
        """


@runtime_checkable
class BeginsPublishing(Protocol):
    """A producer that needs no task for each publish. Optional; it makes the same promises."""

    def begin(self, topic: str, payload: bytes, done: Done) -> None:
        """Begin to publish; it leaves with the next `flush` at the latest.

        `done` is called once, perhaps before this returns: with None where `publish` would return, or with what it would raise.
        """

    def flush(self) -> None:
        """Send all begun publishes together."""


class Consumer(Protocol):
    """Receives. Its buffer is bounded: messages that do not fit are dropped and reported as a Gap."""

    @property
    def link(self) -> LinkState: ...

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> Mapping[str, Refusal]:
        """Return once the broker confirmed or refused each: what is published to the confirmed from then on arrives.

        The result contains the refused topics; it is empty when all were confirmed. A refused topic is not requested again
        automatically. `since_ns` (wall clock, only for adapters with `replay`): messages stored at or after that moment
        come first, then live ones, without a hole or a duplicate; a broker with coarse timestamps may begin earlier.

        Raises:
            BrokerError: the broker did not answer; none of these topics is subscribed.
        """

    async def unsubscribe(self, *topics: str) -> None:
        """Return once no further message of these topics will be yielded."""

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        """Messages in order per topic and producer, and a Gap wherever some may be missing."""


@runtime_checkable
class GivesBatches(Protocol):
    """What a consumer's `__aiter__` may return: an iterator that can return all waiting messages at once."""

    async def batch(self) -> Sequence[Message | Gap]:
        """Return what iterating would yield without waiting, and at least one; StopAsyncIteration at the end."""


@runtime_checkable
class PassesOn(GivesBatches, Protocol):
    """What a consumer's `__aiter__` may return: an iterator that can call its reader instead of waking it up."""

    def pass_on(self, take: Take | None, end: Callable[[], None] | None = None) -> None:
        """From now on, call `take` with each message that no other item precedes, and `end` after the messages of one read.

        The iterator still returns everything else: Gaps, messages after a Gap, and messages beyond one turn's share.
        With None for `take`, it returns everything again. This has no effect if the iterator cannot pass messages on.
        """


class Adapter(Protocol):
    """The object that the entry points of the group `fanbench.brokers` name, one for each scheme.

    `producer` and `consumer` connect on entry, within the endpoint's deadline; closing is idempotent and
    cancellation-safe and leaves no task and no socket. They reconnect, with brokers.reconnect.
    They neither read a clock nor look into a payload. Optional: docs/adapters.md describes `default_ports`,
    `delivery_options`, `max_payload_bytes` and `max_text_bytes`; CleansUp describes `clean_up`.
    """

    name: str
    schemes: tuple[str, ...]
    deliveries: tuple[Delivery, ...]
    """The promises that an endpoint may request, the default first."""
    replay: bool
    """Whether `subscribe(since_ns=…)` replays earlier messages."""
    max_topic_bytes: int
    """The longest topic name that the protocol allows, in bytes of UTF-8."""
    options: tuple[Option[Any], ...]
    """URL options that it understands."""

    def producer(self, endpoint: Endpoint) -> AbstractAsyncContextManager[Producer]: ...

    def consumer(self, endpoint: Endpoint) -> AbstractAsyncContextManager[Consumer]: ...


@runtime_checkable
class CleansUp(Protocol):
    """An adapter that creates something at the broker: streams, queues, sessions."""

    async def clean_up(self, endpoint: Endpoint) -> None:
        """Remove everything whose name begins with the endpoint's `run_name`; there may be nothing to remove.

        Raises:
            BrokerError: it cannot be removed.
        """
