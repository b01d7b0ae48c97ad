"""Why RabbitMQ closed a channel or a connection: its error message, and the cause behind it."""

from __future__ import annotations

import re

from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelClosed,
    ChannelInvalidStateError,
    ConnectionClosed,
    DeliveryError,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from brokers.errors import CauseKind
from brokers.waiting import reason

errors = (AMQPError, ChannelInvalidStateError, OSError, ValueError)
"""aiormq's exceptions."""

_TOPIC = re.compile(r"^ACCESS_REFUSED - access to topic '(.*)' in exchange ", re.DOTALL)
_KINDS: dict[str, tuple[tuple[str, CauseKind], ...]] = {
    "CONNECTION_FORCED": (("", CauseKind.ELSEWHERE),),
    "RESOURCE_LOCKED": (("", CauseKind.ELSEWHERE),),
    "INTERNAL_ERROR": (("", CauseKind.ELSEWHERE),),
    "RESOURCE_ERROR": (("", CauseKind.LIMIT),),
    "NOT_FOUND": (
        ("home node", CauseKind.ELSEWHERE),
        ("is stopped by supervisor", CauseKind.ELSEWHERE),
        ("", CauseKind.NOT_FOUND),
    ),
    "PRECONDITION_FAILED": (
        ("timed out", CauseKind.LOST),
        ("replica on the local node", CauseKind.ELSEWHERE),
        ("", CauseKind.CONFLICT),
    ),
    "ACCESS_REFUSED": (
        ("Login was refused", CauseKind.AUTHENTICATION),
        ("reserved prefix", CauseKind.INVALID),
        ("", CauseKind.PERMISSION),
    ),
    "NOT_ALLOWED": (
        ("limit", CauseKind.LIMIT),
        ("not found", CauseKind.NOT_FOUND),
        ("access to vhost", CauseKind.PERMISSION),
        ("", CauseKind.CONFLICT),
    ),
}
"""Maps the name at the start of RabbitMQ's text, or words in the text, to a kind; the first match counts."""


class BlockedError(ConnectionError):
    """The broker accepts no messages on this connection for now: `connection.blocked`, an alarm."""

    def __init__(self, words: str) -> None:
        super().__init__(f"the broker accepts no messages for now ({words}): this one was dropped")


class UnroutableError(ConnectionError):
    """No queue is bound to take a message: the exchange was recreated, or its bindings were removed."""

    def __init__(self, exchange: str) -> None:
        super().__init__(f"exchange '{exchange}' has no binding to a queue for it: somebody removed the binding")


def words_of(error: BaseException) -> str:
    """The broker's error message, without aiormq's number."""
    closed = isinstance(error, ConnectionClosed | ChannelClosed)
    return str(error.args[1]) if closed and len(error.args) == 2 and error.args[1] else reason(error)


def worded(error: Exception) -> Exception:
    """The error, with the broker's message as its text."""
    words = words_of(error)
    return error if words == reason(error) else ConnectionClosed(words)


def kind_of(error: BaseException) -> CauseKind | None:
    """The kind of an aiormq error."""
    if isinstance(error, BlockedError):
        return CauseKind.BLOCKED
    if isinstance(error, UnroutableError):
        return CauseKind.ELSEWHERE
    words = words_of(error)
    for part, kind in _KINDS.get(words.partition(" ")[0], ()):
        if part in words:
            return kind
    if isinstance(error, AuthenticationError | ProbableAuthenticationError):
        return CauseKind.AUTHENTICATION
    if isinstance(error, DeliveryError):  # basic.nack: the broker could not store it
        return CauseKind.BLOCKED
    return CauseKind.LOST if isinstance(error, ChannelInvalidStateError | InvalidFrameError) else None


def forbidden_topic(error: BaseException) -> str | None:
    """The topic that the broker names as forbidden: the same error ends every call in flight on its channel."""
    match = _TOPIC.match(words_of(error))
    return match[1] if match else None


def undecodable(error: BaseException | None) -> bool:
    """Whether aiormq gave up on something that it cannot decode: a topic that is not UTF-8, or an odd header."""
    return isinstance(error, InvalidFrameError)
