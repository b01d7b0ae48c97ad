"""The bounded buffer between a broker's connection and the consumer's reader."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence

from brokers.api import Gap, Message, Take
from brokers.options import whole_number

DEFAULT_CAPACITY = 65_536
BUFFER = whole_number("buffer", "messages buffered for a slow reader; beyond that there is a gap", DEFAULT_CAPACITY)
CAPACITY_BYTES = 64 * 1024 * 1024
"""The limit in bytes, whatever the number of messages: 65,536 messages of 256 KB would take 16 GB.

One message always has room.
"""
_TURN = 256


class Inbox:
    """Messages in order of arrival, at most `capacity` messages and CAPACITY_BYTES, for one iterating task.

    Once it is full, it drops messages until half of it is free, and reports them as one Gap in their place. If it
    accepted each message that finds a free slot, a slow reader would get a Gap for each message.

    With `tells_end` the adapter promises to call `end_read` after each read of its connection. A reader can then be
    called by `pass_on` instead of being woken up.
    """

    __slots__ = (
        "_capacity", "_closed", "_end", "_held_bytes", "_items", "_lost", "_passed", "_readable", "_room", "_take_at_once", "_tells_end",
        "_turn", "_waiter",
    )  # fmt: skip

    def __init__(self, capacity: int = DEFAULT_CAPACITY, *, tells_end: bool = False) -> None:
        self._capacity = max(1, capacity)
        self._tells_end = tells_end
        self._take_at_once: Take | None = None
        self._end: Callable[[], None] | None = None
        self._passed = 0
        """Number of messages in this read that went straight to the reader."""
        self._items: deque[Message | Gap] = deque()
        self._held_bytes = 0
        self._lost = 0
        self._closed = False
        self._turn = 0
        self._readable: int | None = None
        self._room: asyncio.Event | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        """Whether the next message would be dropped."""
        return len(self._items) >= self._capacity or self._held_bytes >= CAPACITY_BYTES

    @property
    def _half_free(self) -> bool:
        return len(self._items) <= self._capacity // 2 and self._held_bytes <= CAPACITY_BYTES // 2

    @property
    def _is_next(self) -> bool:
        """Whether no message waits ahead of the next one."""
        return not (self._items or self._lost) and self._readable is None

    async def room(self) -> None:
        """Wait until half of the buffer is free, for adapters that leave further messages at the broker."""
        while not self._half_free:
            self._room = self._room or asyncio.Event()
            await self._room.wait()

    def put(self, topic: str, payload: bytes) -> None:
        """Pass a message straight to the reader, or buffer it, or count it as lost."""
        if self._take_at_once is not None and self._passed < _TURN and self._is_next:
            self._passed += 1
            self._take_at_once(topic, payload)
        else:
            self.add(topic, payload)

    def add(self, topic: str, payload: bytes) -> None:
        """Buffer a message, or count it as lost."""
        if self._lost or len(self._items) >= self._capacity or self._held_bytes >= CAPACITY_BYTES:
            if not self._half_free:
                self._lost += 1
                return
            self._tell_lost()
        self._items.append(Message(topic, payload))
        self._held_bytes += len(payload)
        if self._waiter is not None:
            self._wake()

    def pass_on(self, take: Take | None, end: Callable[[], None] | None = None) -> None:
        """See `PassesOn`."""
        if self._tells_end:
            self._take_at_once, self._end = take, end

    def end_read(self) -> None:
        """End one read of the connection."""
        if self._passed:
            self._passed = 0
            if self._end is not None:
                self._end()

    def gap(self, gap: Gap) -> None:
        """Add a Gap, even if the buffer is full."""
        self._tell_lost()
        self._items.append(gap)
        self._wake()

    def hold(self) -> None:
        """Hold back new messages until `release`, because the connection is lost."""
        if self._readable is None:
            self._tell_lost()
            self._readable = len(self._items)

    def release(self, gap: Gap | None) -> None:
        """End `hold`, because every subscription works again. The Gap comes before everything that arrived since then.

        A reader that fetches the missing state on a Gap needs working subscriptions by then. Otherwise messages
        between its fetch and the subscription would be missing without a notice.
        """
        if self._readable is not None:
            if gap is not None:
                self._items.insert(self._readable, gap)
            self._readable = None
            self._wake()

    def discard(self, topics: Collection[str]) -> None:
        """Discard the waiting messages of these topics."""
        if not self._items:
            return
        items, self._items = self._items, deque()
        for i, item in enumerate(items):
            if i == self._readable:
                self._readable = len(self._items)
            if isinstance(item, Gap) or item.topic not in topics:
                self._items.append(item)
            else:
                self._held_bytes -= len(item.payload)
        if self._readable is not None:
            self._readable = min(self._readable, len(self._items))
        self._tell_room()

    def close(self) -> None:
        """End the iteration after the buffered messages."""
        self._closed = True
        self.release(None)
        self._wake()

    def _tell_room(self) -> None:
        if self._room is not None and self._half_free:
            self._room.set()
            self._room = None

    def _tell_lost(self) -> None:
        if self._lost:
            self._items.append(Gap("overflow", self._lost))
            self._lost = 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> Inbox:
        return self

    async def __anext__(self) -> Message | Gap:
        self._turn += 1
        if self._turn % _TURN == 0:
            await asyncio.sleep(0)  # a full buffer must not block the rest of the program
        await self._something()
        return self._take()

    async def batch(self) -> Sequence[Message | Gap]:
        """Return the waiting messages: at least one, but not so many that they block the rest of the program.

        It never returns messages that went straight to the reader.

        Raises:
            StopAsyncIteration: the buffer is closed and empty.
        """
        if self._items:
            await asyncio.sleep(0)
        await self._something()
        count = len(self._items) if self._readable is None else self._readable
        return [self._take() for _ in range(min(count, _TURN))]

    async def _something(self) -> None:
        while not self._items or self._readable == 0:
            if self._readable is None:
                self._tell_lost()
                if self._items:
                    break
                if self._closed:
                    raise StopAsyncIteration
            if self._waiter is not None:
                raise RuntimeError("a consumer can be iterated by one task at a time")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _take(self) -> Message | Gap:
        if self._readable is not None:
            self._readable -= 1
        item = self._items.popleft()
        if isinstance(item, Message):
            self._held_bytes -= len(item.payload)
        if self._room is not None:
            self._tell_room()
        return item


class Lane:
    """A part of an inbox with its own connection: an interruption of it does not delay the other parts."""

    __slots__ = ("_inbox", "_topics", "discard", "put")

    def __init__(self, inbox: Inbox, topics: Callable[[], Collection[str]]) -> None:
        """`topics` returns the topics of this part."""
        self._inbox = inbox
        self._topics = topics
        self.put = inbox.put
        self.discard = inbox.discard

    def gap(self, gap: Gap) -> None:
        """Add a Gap; if it concerns all topics, add one for each topic of this part."""
        for topic in [gap.topic] if gap.topic is not None else list(self._topics()):
            self._inbox.gap(gap._replace(topic=topic))

    def hold(self) -> None:
        """Hold back messages of this part until `release`."""

    def release(self, gap: Gap | None) -> None:
        """Release this part, because all its subscriptions work again."""
        if gap is not None:
            self.gap(gap)
