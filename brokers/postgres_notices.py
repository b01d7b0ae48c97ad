"""A message as PostgreSQL can carry it: text of less than 8,000 bytes, on a channel named like the topic."""

from __future__ import annotations

from base64 import b64decode, b64encode

MAX_TEXT_BYTES = 7_999
MAX_PAYLOAD_BYTES = 5_997
"""This many bytes always fit: bytes that are not text are sent as base64, after a mark.

Text may have MAX_TEXT_BYTES.
"""
MAX_TOPIC_BYTES = 63
_BINARY = "\x01"
"""The mark before an optional number, a colon, and base64.

Text that begins with the mark is also sent as base64, so every notification has one meaning.
"""


class TooLongError(ValueError):
    """A payload is over PostgreSQL's limit."""


def channel_of(topic: str) -> str:
    """A topic's channel, which is its name: `psql` can listen to it, and a trigger can notify it.

    Raises:
        ValueError: no channel can have this name.
    """
    if "\0" in topic:
        raise ValueError("it has a NUL, which no name in PostgreSQL may have")
    return topic


def text_of(payload: bytes) -> str:
    """Return the notification for a payload: the payload itself if it is text.

    Raises:
        TooLongError: it is over the limit.
    """
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = ""
    as_it_is = (text or not payload) and "\0" not in text and not text.startswith(_BINARY)
    if not as_it_is:
        text = _numbered("", payload)
    size = len(payload) if as_it_is else len(text)
    if size > MAX_TEXT_BYTES:
        how = "" if as_it_is else f", {size:,} as base64"
        raise TooLongError(
            f"the payload has {len(payload):,} bytes{how}, and PostgreSQL takes {MAX_TEXT_BYTES:,} in a notification"
        )
    return text


def another_text_of(text: str, number: int) -> str | None:
    """A different notification for each number, with the same payload; None if it does not fit.

    If notifications in a transaction are equal, PostgreSQL delivers only one.
    """
    found = _numbered(str(number), payload_of(text))
    return found if len(found) <= MAX_TEXT_BYTES else None


def _numbered(number: str, payload: bytes) -> str:
    return f"{_BINARY}{number}:{b64encode(payload).decode()}"


def payload_of(text: str) -> bytes:
    """The payload that a notification carries.

    Raises:
        ValueError: it has the mark of base64 but is not base64.
    """
    return b64decode(text.partition(":")[2], validate=True) if text.startswith(_BINARY) else text.encode()
