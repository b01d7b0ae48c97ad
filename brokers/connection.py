"""The calls that an adapter makes to its client library, and a producer's connection that reconnects."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from brokers.endpoint import Endpoint
from brokers.errors import (
    BrokerError,
    CauseKind,
    Reaction,
    TopicRefusedError,
    reaction_to,
    refusal_of,
    shown,
    standard_kind,
)
from brokers.link import Link
from brokers.topic_names import TopicNames
from brokers.waiting import reason

C = TypeVar("C")


def _unrecognised(_: BaseException) -> CauseKind | None:
    return None


@dataclass(frozen=True, slots=True)
class Calls(Generic[C]):
    """The calls to a client library on one connection."""

    dial: Callable[[Endpoint], Coroutine[Any, Any, C]]
    """Connect to the endpoint's one host; leaves nothing open when it raises."""
    serve: Callable[[C], Coroutine[Any, Any, None]]
    """Return or raise when the connection is lost."""
    hang_up: Callable[[C], Coroutine[Any, Any, None]]
    """Write the remaining bytes, and close the connection."""
    errors: tuple[type[Exception], ...]
    """The library's exceptions."""
    kind_of: Callable[[BaseException], CauseKind | None] = _unrecognised
    """The kind of a library error; None if the standard library's types or the words decide."""

    def kind(self, error: BaseException) -> CauseKind:
        """The kind of an error, by the library's types, the standard library's, or its words."""
        if isinstance(error, BrokerError):
            return error.kind
        return self.kind_of(error) or standard_kind(error)


def publish_error(endpoint: Endpoint, link: Link, topic: str, error: BaseException, kind: CauseKind) -> BrokerError:
    """The error of a publish that the broker or its library refused; a TopicRefusedError if it refused the topic.

    If the answer means "not here any more", the connection is dialled again.
    """
    words = reason(error)
    refusal = refusal_of(kind, words)
    if refusal is not None:
        return TopicRefusedError(endpoint, "publish on", topic, refusal)
    if reaction_to(kind) is Reaction.GONE:
        link.drop(words)
    return BrokerError(endpoint, f"publish on {shown(topic)}", words, kind)


class ProducerConnection(Generic[C]):
    """A `ReconnectLoop` for `keep_up`. `connection` is None while there is no connection."""

    def __init__(self, endpoint: Endpoint, calls: Calls[C], names: TopicNames) -> None:
        self.endpoint = endpoint
        self.connection: C | None = None
        self.link = Link(endpoint)
        self.name_of = names.of
        """The name to publish to; raises TopicRefusedError for a topic that cannot be used."""
        self.serve = calls.serve
        self.hang_up = calls.hang_up
        self.kind_of = calls.kind_of
        self._calls = calls
        self._cause = "not connected"

    def failed(self, topic: str, error: BaseException | None = None) -> BrokerError:
        """The error of a publish; if `error` is None, there is no connection."""
        if error is None:
            return BrokerError(self.endpoint, f"publish on {shown(topic)}", self._cause, CauseKind.LOST)
        return publish_error(self.endpoint, self.link, topic, error, self._calls.kind(error))

    async def dial(self) -> C:
        """Connect."""
        self.connection = await self._calls.dial(self.link.target)
        return self.connection

    def lost(self, cause: str) -> None:
        """Refuse every later publish."""
        self.connection = None
        self._cause = f"connection lost: {cause}"
