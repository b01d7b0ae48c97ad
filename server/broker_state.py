"""The broker's state, for readiness, metrics, /stats and the log."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from brokers.api import LinkState
from brokers.errors import BrokerError, CauseKind

_log = logging.getLogger("fanbench.server")


class BrokerState:
    """Follows the consumer's link.

    After the link is lost, readiness lasts for a grace period: a blip must not empty a load balancer.
    """

    def __init__(self, grace_s: float, broker: str, loop: asyncio.AbstractEventLoop) -> None:
        self._grace_s = grace_s
        self._broker = broker
        self._loop = loop
        self._down_since_s: float | None = loop.time()
        self._told_away = False
        self.cause = "not connected yet"
        """Why it is not connected; empty while it is."""
        self._link: LinkState | None = None
        self._skipped: Counter[str] = Counter()

    @property
    def connected(self) -> bool:
        """Whether the consumer's connection is up."""
        return self._down_since_s is None

    @property
    def down_s(self) -> float:
        """Seconds since it went down; 0 while it is up."""
        return 0.0 if self._down_since_s is None else self._loop.time() - self._down_since_s

    @property
    def within_grace(self) -> bool:
        """Whether it is up, or has been down for no longer than the grace."""
        return self._down_since_s is None or self.down_s <= self._grace_s

    @property
    def notice(self) -> str:
        """What fails while the link is up, such as an alarm at the broker; empty if everything works."""
        return self._link.notice if self._link is not None and self.connected else ""

    @property
    def skipped(self) -> Counter[str]:
        """How many messages the adapter has skipped since the replica's start, by reason."""
        return self._skipped + Counter(self._link.skipped if self._link is not None else {})

    def is_about_a_part(self, error: Exception) -> bool:
        """Whether an error concerns only some topics, such as those of a lost shard, while the broker answers."""
        return self.connected and isinstance(error, BrokerError) and error.kind is CauseKind.LOST

    async def follow(self, link: LinkState) -> None:
        """Follow the link until cancelled."""
        self._link, told = link, ""
        try:
            while True:
                self.note(link.connected, link.cause)
                if self.notice != told:
                    _log.warning("%s: %s", self._broker, self.notice or f"no more: {told}")
                    told = self.notice
                await link.changed()
        finally:
            self._link, self._skipped = None, self.skipped

    def note(self, connected: bool, cause: str) -> None:
        """The link is up, or down for this cause."""
        self.cause = "" if connected else cause
        if not connected:
            self._down_since_s = self._loop.time() if self._down_since_s is None else self._down_since_s
        elif self._down_since_s is not None:
            if self._told_away:
                _log.warning("%s: connected again after %.1f s; this replica is ready", self._broker, self.down_s)
            self._down_since_s, self._told_away = None, False

    def tell_away(self) -> None:
        """Log once when the grace period is over."""
        if not self.within_grace and not self._told_away:
            self._told_away = True
            _log.error(
                "%s: not connected for %.1f s: %s; this replica is not ready", self._broker, self.down_s, self.cause
            )
