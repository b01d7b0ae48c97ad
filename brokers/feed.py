"""What the readers of stored streams do alike: Redis streams, JetStream, RabbitMQ streams.

All topics share one stream, which each consumer reads by position and filters here: a thousand topics cost no more than
one, and a reader that comes back goes on where it was, so nothing is missing. A full buffer stops the reading, and the
broker keeps the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Generic, TypeVar

from brokers.api import Gap
from brokers.endpoint import BrokerError, Endpoint
from brokers.inbox import Inbox
from brokers.reconnect import finish, reason

P = TypeVar("P")
Entry = tuple[str, bytes]
"""The name of a topic as the broker knows it, and the payload."""
History = Callable[[int, P], AsyncIterator[Sequence[Entry]]]
"""What the stream has from a moment (wall clock, ns) up to a position, which is included."""


class Feed(Generic[P]):
    """Hands on the entries of the topics that are subscribed; `position` is that of the last entry read."""

    def __init__(
        self, endpoint: Endpoint, inbox: Inbox, start: P, history: History[P], name_of: Callable[[str], str] = str
    ) -> None:
        self.endpoint = endpoint
        self.inbox = inbox
        self.position = start
        self.topics: dict[str, str] = {}
        self._history = history
        self._name_of = name_of
        self._cause: str | None = None
        self._joining = asyncio.Lock()
        self._paused = False
        self._may_go = asyncio.Event()
        self._may_go.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def take_now(self, position: P, name: str, payload: bytes) -> bool:
        """Hand on an entry, if there is room and no history comes before it; otherwise False, and `take` waits."""
        if self._paused or self.inbox.full:
            return False
        self.position = position
        topic = self.topics.get(name)
        if topic is not None:
            self.inbox.put(topic, payload)
        return True

    async def take(self, position: P, name: str, payload: bytes) -> None:
        """Hand on an entry, when there is room for it."""
        while not self.take_now(position, name, payload):
            await self._may_go.wait()
            await self.inbox.room()

    async def subscribe(self, topics: Sequence[str], since_ns: int | None) -> None:
        """What is published from now on arrives, since the stream is read from a position that is known.

        With `since_ns` return once the history begins to come; the live entries wait for its end.

        Raises:
            BrokerError: the history cannot be read.
        """
        names = {self._name_of(topic): topic for topic in topics}
        if since_ns is None:
            self.topics |= names
            return
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._join(names, since_ns, begun))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            async with asyncio.timeout(self.endpoint.timeout_s):
                await begun
        except BaseException as error:
            await finish(_cancelled(task))
            for name in names:
                self.topics.pop(name, None)
            if isinstance(error, Exception):
                step = "check that the broker is up, and subscribe again"
                raise BrokerError(self.endpoint, f"replay '{topics[0]}'", reason(error), step) from None
            raise

    async def _join(self, names: dict[str, str], since_ns: int, begun: asyncio.Future[None]) -> None:
        """Put the history of topics before what is live: the reader stands still at a position meanwhile."""
        async with self._joining:
            self._paused = True
            self._may_go.clear()
            try:
                async for entries in self._history(since_ns, self.position):
                    if not begun.done():
                        begun.set_result(None)
                    for name, payload in entries:
                        if name in names:
                            while self.inbox.full:
                                await self.inbox.room()
                            self.inbox.put(names[name], payload)
            except Exception as error:
                if not begun.done():
                    begun.set_exception(error)
                    return
                for topic in names.values():
                    self.inbox.gap(Gap(f"replay interrupted: {self.endpoint.hide_secrets(reason(error))}", None, topic))
            finally:
                self.topics |= names
                self._paused = False
                self._may_go.set()
            if not begun.done():
                begun.set_result(None)

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """Take no more entries of these topics."""
        for topic in topics:
            self.topics.pop(self._name_of(topic), None)
        self.inbox.discard(topics)

    def lost(self, cause: str) -> None:
        """Remember why the reading was interrupted."""
        self._cause = self._cause or f"connection lost: {cause}"

    def resumed(self, lost: int | None = 0) -> None:
        """Tell the interruption; `lost` entries were taken off the stream, or the stream itself was (None)."""
        if self._cause is not None and self.topics:
            self.inbox.gap(Gap(self._cause, lost))
        self._cause = None

    def trimmed(self, lost: int | None) -> None:
        """Tell that the stream dropped entries before they were read."""
        if self.topics:
            self.inbox.gap(Gap("trimmed: the broker dropped entries before they were read", lost))

    async def close(self) -> None:
        """End what reads history, and the iteration."""
        self.inbox.close()
        for task in list(self._tasks):
            await finish(_cancelled(task))


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
