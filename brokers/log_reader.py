"""Shared code for readers of stored streams: Redis streams, JetStream, RabbitMQ streams.

All topics share one stream, which each consumer reads by position and filters here: a thousand topics cost no more than
one, and a reader that comes back continues where it was, so nothing is missing. A full buffer stops the reading, and the
broker keeps the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from brokers.api import Gap
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, Refusal, shown, standard_kind
from brokers.inbox import CAPACITY_BYTES, DEFAULT_CAPACITY, Inbox
from brokers.recent_entries import MAX_BYTES, RECENT, RecentEntries
from brokers.topic_names import TopicNames
from brokers.waiting import finish, reason

P = TypeVar("P")
Entry = tuple[str, bytes]
"""The topic's name at the broker, and the payload."""
History = Callable[[int, P], AsyncGenerator[Sequence[Entry], None]]
"""The stream's entries from a time (wall clock, ns) up to and including a position."""


@dataclass(slots=True, eq=False)
class _Join:
    """Topics whose history is being read, and their later entries, which are delivered after the history."""

    topics: dict[str, str]
    held: deque[Entry | Gap] = field(default_factory=deque)
    held_bytes: int = 0

    @property
    def full(self) -> bool:
        return len(self.held) >= DEFAULT_CAPACITY or self.held_bytes >= CAPACITY_BYTES

    def hold(self, entry: Entry) -> None:
        self.held.append(entry)
        self.held_bytes += len(entry[1])

    def next(self) -> Entry | Gap:
        item = self.held.popleft()
        if not isinstance(item, Gap):
            self.held_bytes -= len(item[1])
        return item

    def leave(self, name: str) -> None:
        """Forget a topic."""
        self.topics.pop(name, None)
        for item in [self.next() for _ in range(len(self.held))]:
            if isinstance(item, Gap):
                self.held.append(item)
            elif item[0] != name:
                self.hold(item)


class LogReader(Generic[P]):
    """Passes on the entries of subscribed topics; `position` is that of the last entry read."""

    def __init__(self, endpoint: Endpoint, inbox: Inbox, start: P, history: History[P], names: TopicNames) -> None:
        self.endpoint = endpoint
        self.inbox = inbox
        self.position = start
        self.topics: dict[str, str] = {}
        self._history = history
        self._names = names
        self._cause: str | None = None
        self._joins: dict[str, _Join] = {}
        """The joining topics, by name."""
        self._may_go = asyncio.Event()
        self._may_go.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeps = endpoint.get(RECENT)
        self._replays = 0
        self._recent: RecentEntries[P] | None = None

    def take_now(self, position: P, name: str, payload: bytes) -> bool:
        """Pass an entry on, or keep it until the earlier history has arrived. False if there is no room: `take` waits.

        The caller calls the inbox's `end_read` after the entries of one read.
        """
        join = self._joins.get(name)
        if join is not None:
            if join.full:
                self._may_go.clear()
                return False
            join.hold((name, payload))
        elif self.inbox.full:
            return False
        elif (topic := self.topics.get(name)) is not None:
            self.inbox.put(topic, payload)
        self.position = position
        if self._recent is not None:
            self._recent.add(position, name, payload)
        return True

    async def take(self, position: P, name: str, payload: bytes) -> None:
        """Pass on an entry when there is room for it."""
        while not self.take_now(position, name, payload):
            self.inbox.end_read()
            await self._may_go.wait()
            await self.inbox.room()
        self.inbox.end_read()

    async def subscribe(self, topics: Iterable[str], since_ns: int | None) -> dict[str, Refusal]:
        """Later entries arrive, because the stream is read from a known position.

        With `since_ns`, return once the first history arrives; the live entries of these topics wait until the history
        ends. Returns the topics that a stream cannot have, with the reason.

        Raises:
            BrokerError: the history cannot be read.
        """
        names, refused = self._names.sort_out(topics)
        if since_ns is None or not names:
            self.topics |= names
            return refused
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._replay(names, since_ns, begun))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            async with asyncio.timeout(self.endpoint.timeout_s):
                await begun
        except BaseException as error:
            await finish(_cancelled(task))
            if isinstance(error, Exception):
                what = f"replay {shown(next(iter(names.values())))}"
                raise BrokerError(self.endpoint, what, reason(error), standard_kind(error)) from None
            raise
        return refused

    async def _replay(self, names: dict[str, str], since_ns: int, begun: asyncio.Future[None]) -> None:
        """Deliver the history of topics before their live entries; other topics continue."""
        join = _Join(names)
        self._joins |= dict.fromkeys(names, join)
        try:
            try:
                async with contextlib.aclosing(self._past(names, since_ns)) as history:
                    async for entries in history:
                        if not begun.done():
                            begun.set_result(None)
                        for name, payload in entries:
                            await self._put(join, name, payload)
                        if not join.topics:
                            return  # nobody is waiting for the rest
            except Exception as error:
                if begun.cancelled():
                    return
                if not begun.done():
                    begun.set_exception(error)
                    return
                for topic in join.topics.values():
                    self.inbox.gap(Gap(f"replay interrupted: {self.endpoint.hide_secrets(reason(error))}", None, topic))
            if begun.cancelled():
                return
            if not begun.done():
                begun.set_result(None)
            while join.held:  # also entries that arrive while these wait for room
                item = join.next()
                if isinstance(item, Gap):
                    self.inbox.gap(item)
                else:
                    await self._put(join, *item)
                self._may_go.set()
            self.topics |= join.topics
        finally:
            for name in names:
                if self._joins.get(name) is join:
                    del self._joins[name]
            self._may_go.set()

    async def _past(self, names: Iterable[str], since_ns: int) -> AsyncGenerator[Sequence[Entry], None]:
        """Return the history of topics up to now. From the second call on, the reader keeps recent entries, so that this is cheap."""
        self._replays += 1
        if self._recent is None and self._replays > 1 and self._keeps:
            self._recent = RecentEntries(self.position, self._keeps)
        recent, older_bytes = self._recent, 0
        if recent is None:
            kept: list[Entry] = []
            older: list[Entry] | None = None
            upto = self.position
        else:  # now: later entries are held back as live ones
            upto, kept = recent.position, [(name, payload) for name in names for payload in recent.of(name)]
            if recent.covers(since_ns):
                yield kept
                return
            older = [] if recent.roomy else None
        async with contextlib.aclosing(self._history(since_ns, upto)) as history:
            async for entries in history:
                if older is not None:
                    older += entries
                    older_bytes += sum(len(payload) for _, payload in entries)
                    if older_bytes > MAX_BYTES:  # it would not be stored
                        older = None
                yield entries
        if recent is not None and older is not None and upto == recent.position and not recent.covers(since_ns):
            recent.put_before(older, since_ns)
        yield kept

    async def _put(self, join: _Join, name: str, payload: bytes) -> None:
        while name in join.topics and self.inbox.full:
            await self.inbox.room()
        topic = join.topics.get(name)
        if topic is not None:
            self.inbox.add(topic, payload)  # not straight to the reader, which does not know yet that it is subscribed

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """Take no more entries of these topics."""
        for name in self._names.known(topics):
            self.topics.pop(name, None)
            join = self._joins.pop(name, None)
            if join is not None:
                join.leave(name)
                self._may_go.set()
        self.inbox.discard(topics)

    def _tell(self, gap: Gap) -> None:
        """Add a Gap: at once if topics are live; if all are still joining, after the entries held before it."""
        if self.topics:
            self.inbox.gap(gap)
        elif self._joins:
            next(iter(self._joins.values())).held.append(gap)

    def lost(self, cause: str) -> None:
        """Remember why the reading was interrupted."""
        self._cause = self._cause or f"connection lost: {cause}"

    def resumed(self, lost: int | None = 0) -> None:
        """Report the interruption; `lost` entries were removed from the stream, or the whole stream was (None)."""
        if lost != 0:
            self._recent = None
        if self._cause is not None:
            self._tell(Gap(self._cause, lost))
        self._cause = None

    def trimmed(self, lost: int | None) -> None:
        """Report that the stream dropped entries before they were read."""
        self._recent = None
        self._tell(Gap("trimmed: the broker dropped entries before they were read", lost))

    async def close(self) -> None:
        """End the history readers and the iteration."""
        self.inbox.close()
        for task in list(self._tasks):
            await finish(_cancelled(task))


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
