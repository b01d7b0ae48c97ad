"""What the error messages of nats-py and of the server mean."""

from __future__ import annotations

import re

from nats.errors import (
    AuthorizationError,
    ConnectionClosedError,
    Error,
    InvalidUserCredentialsError,
    MaxPayloadError,
    NoRespondersError,
    NoServersError,
    OutboundBufferLimitError,
    StaleConnectionError,
)

from brokers.errors import CauseKind

__all__ = [
    "ERRORS",
    "NO_MESSAGE",
    "STREAM_NAME_IN_USE",
    "STREAM_NOT_FOUND",
    "AnswerError",
    "Error",
    "NoRespondersError",
    "kind_of",
    "violation",
]

ERRORS: tuple[type[Exception], ...] = (Error, OSError)
"""nats-py's exceptions and the socket's."""
STREAM_NOT_FOUND, STREAM_NAME_IN_USE, NO_MESSAGE = 10059, 10058, 10037
_SUBJECT = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"', re.IGNORECASE)


class AnswerError(Error):
    """JetStream answered with an error."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        """JetStream's own number of the error."""


_CODES = {
    10008: CauseKind.ELSEWHERE,  # JetStream system temporarily unavailable
    10009: CauseKind.ELSEWHERE,  # peer is not the leader
    10118: CauseKind.ELSEWHERE,  # stream is offline
    10119: CauseKind.ELSEWHERE,  # consumer is offline
    10077: CauseKind.BLOCKED,  # a full stream that refuses new messages
    10167: CauseKind.BLOCKED,  # too many requests
    10039: CauseKind.NOT_FOUND,  # JetStream is not enabled for this account
    10076: CauseKind.NOT_FOUND,  # JetStream is not enabled at this server
    STREAM_NOT_FOUND: CauseKind.NOT_FOUND,
    NO_MESSAGE: CauseKind.NOT_FOUND,
    10014: CauseKind.NOT_FOUND,  # no such consumer
    STREAM_NAME_IN_USE: CauseKind.CONFLICT,
    10065: CauseKind.CONFLICT,  # its subjects overlap with another stream's
    10005: CauseKind.LIMIT,  # no servers for this placement
    10074: CauseKind.LIMIT,  # replicas without a cluster
    10002: CauseKind.LIMIT,  # account resources
    10023: CauseKind.LIMIT,  # server resources
    10026: CauseKind.LIMIT,  # consumers
    10027: CauseKind.LIMIT,  # streams
    10028: CauseKind.LIMIT,
    10047: CauseKind.LIMIT,  # storage
    10054: CauseKind.LIMIT,  # length of a message
    10113: CauseKind.LIMIT,  # the account requires max_bytes for each stream
    10120: CauseKind.LIMIT,  # max_bytes of the stream
    10122: CauseKind.LIMIT,
}
"""Kinds by the server's error number (its errors.json); for other errors the text decides."""

_TYPES: tuple[tuple[type[Exception], CauseKind], ...] = (
    (NoRespondersError, CauseKind.ELSEWHERE),
    (ConnectionClosedError, CauseKind.LOST),
    (StaleConnectionError, CauseKind.LOST),
    (NoServersError, CauseKind.UNREACHABLE),
    (AuthorizationError, CauseKind.AUTHENTICATION),
    (InvalidUserCredentialsError, CauseKind.AUTHENTICATION),
    (MaxPayloadError, CauseKind.LIMIT),
    (OutboundBufferLimitError, CauseKind.BLOCKED),
)
_WORDS = (
    ("permissions violation", CauseKind.PERMISSION),
    ("maximum connections exceeded", CauseKind.LIMIT),
    ("maximum account active connections exceeded", CauseKind.LIMIT),
    ("maximum subscriptions exceeded", CauseKind.LIMIT),
    ("maximum payload", CauseKind.LIMIT),
    ("server shutdown", CauseKind.ELSEWHERE),
    ("lame duck", CauseKind.ELSEWHERE),
    ("authentication expired", CauseKind.AUTHENTICATION),
    ("authentication timeout", CauseKind.AUTHENTICATION),
)


def kind_of(error: BaseException) -> CauseKind | None:
    """The kind of an error of nats-py or the server."""
    if isinstance(error, AnswerError) and error.code in _CODES:
        return _CODES[error.code]
    for known, kind in _TYPES:
        if isinstance(error, known):
            return kind
    words = str(error).lower()
    return next((kind for known_words, kind in _WORDS if known_words in words), None)


def violation(error: Exception) -> tuple[str, str] | None:
    """`publish` or `subscription`, and the subject that this user may not use; None for any other error."""
    match = _SUBJECT.search(str(error))
    return (match[1].lower(), match[2]) if match else None
