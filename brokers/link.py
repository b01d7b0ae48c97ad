"""The state of one side's connection and its skipped messages, for readiness, metrics and the log."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from brokers.endpoint import Endpoint

_log = logging.getLogger("fanbench.brokers")


class Link:
    """The state of a producer's or consumer's connection. `keep_up` sets it."""

    __slots__ = ("_drop", "_waiting", "cause", "connected", "notice", "skipped", "target")

    def __init__(self, endpoint: Endpoint, *, connected: bool = False) -> None:
        """`connected` is set by an adapter that has no connection to lose."""
        self.target = endpoint.at(endpoint.hosts[0])
        """The endpoint with the one host that is connected to, or is to be dialled: `keep_up` sets it before each dial."""
        self.connected = connected
        self.cause = "" if connected else "not connected yet"
        """Why it is not connected, in the words of the broker or its library, without secrets.

        Empty while connected.
        """
        self.notice = ""
        """What fails while the link is up, in the broker's words, such as an alarm.

        Empty if everything works.
        """
        self.skipped: Counter[str] = Counter()
        """Unreadable messages that were skipped, by reason."""
        self._waiting: set[asyncio.Future[None]] = set()
        self._drop: asyncio.Future[str] | None = None

    async def changed(self) -> None:
        """Return when `connected` or `notice` has changed."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    def drop(self, cause: str) -> None:
        """Dial again: the broker's answer means that this connection cannot be used. Idempotent."""
        if self._drop is not None and not self._drop.done():
            self._drop.set_result(cause)

    def note(self, notice: str) -> None:
        """Set what does not work, or "" if everything works."""
        if notice != self.notice:
            self.notice = notice
            self._tell()

    def pass_by(self, reason: str) -> None:
        """Count a message without a usable topic; log the first, the tenth, the hundredth and so on."""
        self.skipped[reason] += 1
        count = str(self.skipped[reason])
        if count.strip("0") == "1":
            _log.warning("%s: skipped a message: %s (%s so far)", self.target, reason, count)

    def came_up(self) -> asyncio.Future[str]:
        """Called by `keep_up` when there is a connection. The future gets the cause when it is dropped."""
        self._drop = asyncio.get_running_loop().create_future()
        self.connected, self.cause = True, ""
        self._tell()
        return self._drop

    def went_down(self, cause: str) -> None:
        """Called by `keep_up` when there is no connection, or it is no longer maintained."""
        self._drop = None
        was, self.connected, self.cause, self.notice = self.connected, False, cause, ""
        if was:
            self._tell()

    def _tell(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
