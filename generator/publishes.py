"""Where the generator sends events, and why one failed."""

from __future__ import annotations

from typing import Protocol

from brokers.errors import BrokerError
from core.errors import FanbenchError
from generator.http_lane import PublishError


class Connected(Protocol):
    """Whether a link is up."""

    @property
    def connected(self) -> bool: ...


class Publishes(Protocol):
    """An adapter's producer, or the HTTP producer."""

    @property
    def link(self) -> Connected: ...

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the event is accepted, and raise FanbenchError if it is not."""


def error_words(error: Exception) -> str:
    """The error's text; of any error that is not fanbench's own only the type, because its text may contain a password."""
    if isinstance(error, FanbenchError):
        return str(error)
    return f"a publish failed with {type(error).__name__}, which its adapter should have turned into a BrokerError"


def failure_reason(error: Exception) -> str:
    """The same text for all failures of one kind."""
    if isinstance(error, PublishError):
        return error.reason
    return error.kind.value if isinstance(error, BrokerError) else type(error).__name__
