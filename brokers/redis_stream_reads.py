"""Reads a Redis stream, one XREAD after another: an answer's entries go on as it arrives, without waking a task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from brokers.log_reader import LogReader
from brokers.redis_answers import Batch
from brokers.redis_commands import RedisCommands
from brokers.redis_link import Connection

Parsed = tuple[bytes, str, bytes]
"""An entry's position, topic and payload."""


def parse(entries: Sequence[Any], pass_by: Callable[[str], None]) -> list[Parsed]:
    """The entries that are ours; others may add entries with any content."""
    found = []
    for id, fields in entries:
        if fields and len(fields) >= 4 and fields[0] == b"topic" and fields[2] == b"payload":
            try:
                found.append((id, fields[1].decode(), fields[3]))
            except UnicodeDecodeError:
                pass_by("a topic that is not UTF-8")
        else:
            pass_by("an entry without the fields topic and payload")
    return found


@dataclass(frozen=True, slots=True)
class StreamRead:
    """An answer that only a task can finish."""

    before: bytes
    """The position from which was read."""
    behind: bool
    """There were so many entries that some may have been dropped before they were read."""
    last: bytes
    """Position of the last entry; empty if there was none."""
    rest: Sequence[Parsed]
    """The entries that were not passed on."""


class StreamReads:
    """One connection's reads, from the position of `feed` on."""

    def __init__(
        self,
        connection: Connection,
        feed: LogReader[bytes],
        stream: str,
        batch: Batch,
        *,
        enough: int,
        wait_s: float,
        timeout_s: float,
        pass_by: Callable[[str], None],
    ) -> None:
        """An answer with `enough` entries is behind. Without entries the server answers after `wait_s`, within `timeout_s`."""
        self._connection = connection
        self._feed = feed
        self._stream = stream
        self._batch = batch
        self._enough = enough
        self._block_ms = int(wait_s * 1000)
        self._limit_s = wait_s + timeout_s
        self._pass_by = pass_by
        self._loop = asyncio.get_running_loop()
        self._asked_s = 0.0
        self._before, self._count = b"", 0
        self._reads_on = False
        self._unfinished: asyncio.Future[StreamRead] = self._loop.create_future()
        self.last = b""
        """Position of the last entry of which no part is left; empty before the first."""
        self.commands = RedisCommands(connection, self._end_read)

    async def next(self) -> StreamRead:
        """Read on until an answer needs a task: there was none, the reader is behind, or there is no room.

        Raises:
            TimeoutError: the server does not answer.
        """
        unfinished: asyncio.Future[StreamRead] = self._loop.create_future()
        self._unfinished = unfinished
        self._ask()
        try:
            while not unfinished.done():
                left_s = self._asked_s + self._limit_s - self._loop.time()
                if left_s <= 0:
                    raise TimeoutError
                await asyncio.wait({unfinished}, timeout=left_s)
            return unfinished.result()
        finally:
            if not unfinished.cancel():  # no answer is taken after this
                unfinished.exception()

    def _ask(self) -> None:
        self._asked_s = self._loop.time()
        self._before, self._count = self._feed.position, self._batch.count
        command = ("XREAD", "COUNT", self._count, "BLOCK", self._block_ms, "STREAMS", self._stream, self._before)
        self.commands.begin(command, self._answered)
        self.commands.flush()

    def _end_read(self) -> None:
        """Ask again only now: what arrived meanwhile comes in one answer."""
        self._feed.inbox.end_read()
        if self._reads_on:
            self._reads_on = False
            self._ask()

    def _answered(self, answer: Any) -> None:
        if self._unfinished.done():  # nobody reads any more
            return
        if isinstance(answer, Exception):
            self._unfinished.set_exception(answer)
            return
        entries = answer[0][1] if answer else ()
        self._batch.learn(len(entries), self._connection)
        behind = len(entries) >= min(self._count, self._enough)
        parsed, passed = parse(entries, self._pass_by), 0
        if not behind:
            for position, topic, payload in parsed:
                if not self._feed.take_now(position, topic, payload):
                    break
                passed += 1
        last = entries[-1][0] if entries else b""
        if entries and not behind and passed == len(parsed):
            self._feed.position = self.last = last
            self._reads_on = True
        else:
            self._unfinished.set_result(StreamRead(self._before, behind, last, parsed[passed:]))
