"""Parses a plain NATS message with one regular expression.

nats-py's own parser, in Python, takes many times as long.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

_PLAIN = re.compile(rb"MSG [^ \r\n]+ (\d{1,18}) (\d{1,18})\r\n")
_END_BYTES = 2


class SinkParser(Parser):
    """Replaces nats-py's parser: passes messages for a sink straight to it, and leaves everything else to nats-py."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self.sinks: dict[bytes, Callable[[bytes], None]] = {}
        """Sinks by the subscription's number."""

    def reset(self) -> None:
        """Discard unfinished messages."""
        super().reset()
        self._unfinished = b""

    async def parse(self, data: bytes = b"") -> None:
        """Take the next bytes."""
        if self.state == AWAITING_CONTROL_LINE and (self.sinks or self._unfinished):
            data = b"".join((self.buf, self._unfinished, data))  # `buf` has the beginning of a line
            self.buf.clear()
            data = self._hand_on(data)
        if data:
            await super().parse(data)

    def _hand_on(self, data: bytes) -> bytes:
        """Pass on whole messages for sinks; return what follows the last one unless another may begin there."""
        done, match, self._unfinished = 0, _PLAIN.match, b""
        while (head := match(data, done)) is not None:
            sid, size = head.groups()
            sink, begin = self.sinks.get(sid), head.end()
            if sink is None:
                break
            end = begin + int(size)
            if end + _END_BYTES > len(data):
                self._unfinished = data[done:]
                return b""
            sink(data[begin:end])
            done = end + _END_BYTES
        return data[done:]
