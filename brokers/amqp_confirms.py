"""Detects whether a broker that answers still confirms publishes on a channel."""

from __future__ import annotations

REFUSED_S = 1.0
"""How long a broker may refuse every publish before a new connection is tried."""
UNCONFIRMED_TIMEOUTS = 4
"""The number of call deadlines within which a broker must confirm the first of a burst: a slow disk may need several."""


class Confirms:
    """Tracks the publishes of one channel; all instants are seconds on the same clock."""

    __slots__ = ("_refused", "_since_s", "_under_way")

    def __init__(self) -> None:
        self._under_way = 0
        self._since_s: float | None = None
        """When the first unconfirmed publish after the last confirmation began."""
        self._refused = False

    def began(self, now_s: float) -> None:
        """A publish is in flight."""
        self._under_way += 1
        if self._since_s is None:
            self._since_s = now_s

    def confirmed(self) -> None:
        """The broker confirmed one."""
        self._since_s, self._refused = None, False

    def refused(self) -> None:
        """The broker refused one, as a queue without a leader does."""
        self._refused = True

    def ended(self, now_s: float) -> None:
        """Note that a publish is no longer in flight, for any reason including cancellation."""
        self._under_way -= 1
        if self._under_way and self._since_s is None:
            self._since_s = now_s  # the others have waited since the last confirmation
        elif not self._under_way and not self._refused:
            self._since_s = None

    def pause(self) -> None:
        """An alarm is on: the time starts again when it ends."""
        self._since_s = None

    def failing(self, now_s: float, timeout_s: float) -> str:
        """How the broker fails every publish, if it has done so for too long; otherwise empty."""
        if self._since_s is None:
            return ""
        if self._refused:
            return "refused" if now_s - self._since_s >= REFUSED_S else ""
        return "not confirmed" if now_s - self._since_s >= UNCONFIRMED_TIMEOUTS * timeout_s else ""
