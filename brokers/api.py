"""The contract of an adapter, as structural protocols: a plug-in needs no base class and no import of ours.

docs/adapters.md explains each promise; brokers/conformance.py proves it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Literal, NamedTuple, Protocol

from brokers.endpoint import Endpoint

Delivery = Literal["at-most-once", "at-least-once"]


class Message(NamedTuple):
    """One message, its payload as it was published."""

    topic: str
    payload: bytes


class Gap(NamedTuple):
    """A place where continuity may be broken: messages may be missing between those before and those after it."""

    cause: str
    """`connection lost`, `overflow` or `trimmed`, and what the broker said."""
    lost: int | None
    """How many messages are missing, where the adapter knows; None where it cannot know."""
    topic: str | None = None
    """The topic it concerns; None for all that this consumer is subscribed to."""


class Producer(Protocol):
    """Publishes. Order is kept per topic in the order of the calls, also of calls that overlap."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the endpoint's delivery promise is met.

        Raises:
            BrokerError: the promise cannot be met, for instance because the connection is down.
        """


class Consumer(Protocol):
    """Receives. Its buffer is bounded: what does not fit is dropped and told as a Gap."""

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> None:
        """Return once the broker confirmed: what is published from then on arrives.

        `since_ns` (wall clock, only for adapters with `replay`): what the broker stored at or after that moment
        comes first, then what is live, without a hole or a double; a coarse broker may begin earlier.
        """

    async def unsubscribe(self, *topics: str) -> None:
        """Return once no further message of these topics will be yielded."""

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        """Messages in order per topic and producer, and a Gap wherever some may be missing."""


class Adapter(Protocol):
    """What an entry point of the group `fanbench.brokers` names.

    `producer` and `consumer` connect on entry, within the endpoint's deadline; closing is idempotent and
    cancellation-safe and leaves no task and no socket. Reconnecting is theirs, with brokers.reconnect.
    They read no clock and look into no payload.
    """

    name: str
    schemes: tuple[str, ...]
    deliveries: tuple[Delivery, ...]
    """The promises that an endpoint may ask for, the default first."""
    replay: bool
    """Whether `subscribe(since_ns=…)` brings back what was published before."""
    options: dict[str, str]
    """URL options (`?name=value`) that it understands, each with one line for the docs."""

    def producer(self, endpoint: Endpoint) -> AbstractAsyncContextManager[Producer]: ...

    def consumer(self, endpoint: Endpoint) -> AbstractAsyncContextManager[Consumer]: ...
