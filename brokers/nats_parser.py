"""Parses a plain NATS message with one regular expression.

nats-py's own parser, in Python, takes many times as long.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

_PLAIN = re.compile(rb"MSG ([^ \r\n]++) (\d{1,18}) (?:([^ \r\n]++) )?(\d{1,18})\r\n")
_END_BYTES = 2

Sink = Callable[[bytes, bytes, bytes], None]
"""Takes a message: its subject, its reply subject or b"", and its payload."""


class SinkParser(Parser):
    """Replaces nats-py's parser: passes messages for a sink straight to it, and leaves everything else to nats-py."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self.sinks: dict[bytes, Sink] = {}
        """By the subscription's number."""
        self.end_read: Callable[[], None] | None = None
        """Called after the messages of one read."""
        self._parsing = False
        """Whether `parse` is still working on earlier bytes."""

    def reset(self) -> None:
        """Discard unfinished messages."""
        super().reset()
        self._unfinished = b""

    def watch(self, reader: Any) -> None:
        """Take messages for sinks when they arrive at this `asyncio.StreamReader`, without waking nats-py's task."""
        feed, unread = reader.feed_data, reader._buffer

        def feed_data(data: bytes) -> None:
            if self._parsing or unread or not self.sinks or self.state != AWAITING_CONTROL_LINE:
                feed(data)  # it must stay behind earlier bytes
                return
            try:
                data = self._take(data)
            finally:
                self._end()
            if data:
                feed(data)

        reader.feed_data = feed_data

    async def parse(self, data: bytes = b"") -> None:
        """Take the next bytes."""
        self._parsing = True
        try:
            if self.state == AWAITING_CONTROL_LINE and (self.sinks or self._unfinished):
                data = self._take(data)
            if data:
                await super().parse(data)
        finally:
            self._parsing = False
            self._end()

    def _end(self) -> None:
        if self.end_read is not None:
            self.end_read()

    def _take(self, data: bytes) -> bytes:
        data = b"".join((self.buf, self._unfinished, data))  # `buf` has the beginning of a line
        self.buf.clear()
        return self._hand_on(data)

    def _hand_on(self, data: bytes) -> bytes:
        """Pass on whole messages for sinks; return what follows the last one unless another may begin there."""
        done, match, self._unfinished = 0, _PLAIN.match, b""
        while (head := match(data, done)) is not None:
            subject, sid, reply, size = head.groups(b"")
            sink, begin = self.sinks.get(sid), head.end()
            if sink is None:
                break
            end = begin + int(size)
            if end + _END_BYTES > len(data):
                self._unfinished = data[done:]
                return b""
            sink(subject, reply, data[begin:end])
            done = end + _END_BYTES
        return data[done:]
