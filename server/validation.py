"""Turns a broker's messages into frames: fanbench events are stamped and counted; others are counted and skipped."""

from __future__ import annotations

import logging
import time

from core.stamp import Stamp, StampError, decode
from server.ledger import Ledger

LOG_INTERVAL_S = 10.0
_BLANKS = b" \t"

_log = logging.getLogger("fanbench.server")


def inspect(topic: str, payload: bytes, max_event_bytes: int) -> Stamp:
    """The stamp of an event that was published on `topic`.

    Raises:
        StampError: the message is not a fanbench event, or cannot be sent as one; the reason contains no value.
    """
    if not isinstance(payload, bytes):  # the adapter may be third-party
        raise StampError("no bytes")
    if len(payload) > max_event_bytes:
        raise StampError("too large")
    stamp = decode(payload, topic)
    if stamp.topic != topic:
        raise StampError("topic mismatch")
    if payload[0] in _BLANKS:
        raise StampError("blanks before the object")
    return stamp


class EventValidator:
    """Decides what is a fanbench event. Anything else never reaches a client, and does not flood the log."""

    def __init__(self, max_event_bytes: int, ledger: Ledger) -> None:
        self._max_event_bytes = max_event_bytes
        self._ledger = ledger
        self._logged_s: dict[str, float] = {}

    def read(self, topic: str, payload: bytes) -> Stamp | None:
        """The event's stamp, or None for a foreign message, which is counted by its reason."""
        try:
            stamp = inspect(topic, payload, self._max_event_bytes)
        except (
            Exception
        ) as error:  # catch everything: a message that stopped the consumer would be redelivered again and again
            self.pass_by(topic, payload, str(error) if isinstance(error, StampError) else type(error).__name__)
            return None
        self._ledger.receive(stamp)
        return stamp

    def pass_by(self, topic: object, payload: object, reason: str) -> None:
        """Count a foreign message, and log the first one of its reason in a while."""
        self._ledger.foreign[reason] += 1
        now_s = time.monotonic()
        if now_s - self._logged_s.get(reason, float("-inf")) >= LOG_INTERVAL_S:
            self._logged_s[reason] = now_s
            _log.warning(
                "topic %.100r: skipped a message of %s bytes that is not an event: %s (%d so far)",
                topic,
                len(payload) if isinstance(payload, bytes) else "no",
                reason,
                self._ledger.foreign[reason],
            )
