"""Limits the size of one Redis reply: a broken or hostile server may announce 2 GB, or never stop sending.

hiredis keeps an answer until it is complete, so the limit applies to the incoming bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

ANSWER_BYTES = 64 * 1024 * 1024
"""The largest event has 1 MiB; reads of a stream stay below this limit, see `Batch`."""
_BATCH_BYTES = 8 * 1024 * 1024
_MOST_ENTRIES = 500


class TooLargeError(Exception):
    """An answer is over the limit; the connection cannot be used any more.

    Not an OSError, which redis-py would convert to its own error.
    """


class BoundedReader:
    """Wraps hiredis' reader and takes its place."""

    __slots__ = ("_gets", "_reader", "_whole_bytes", "last_bytes")

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._gets = reader.gets
        self._whole_bytes = 0
        """Bytes since the last complete answer."""
        self.last_bytes = 0
        """The bytes of the last answer, without those that arrived in one piece with others."""

    def feed(self, data: bytes) -> None:
        """Take the received bytes.

        Raises:
            TooLargeError: an answer is over the limit.
        """
        self._whole_bytes += len(data)
        if self._whole_bytes > ANSWER_BYTES:
            raise TooLargeError(f"the broker sends an answer of over {ANSWER_BYTES >> 20} MiB")
        self._reader.feed(data)

    def gets(self, *decode: bool) -> Any:
        """The next answer, or an `object` while it is incomplete."""
        answer = self._gets(*decode)
        if self._whole_bytes and type(answer) is not object:  # this is how redis-py marks an incomplete answer
            self.last_bytes, self._whole_bytes = self._whole_bytes, 0
        return answer

    def whole(self) -> Iterator[Any]:
        """The complete answers so far."""
        gets = self._gets
        while type(answer := gets()) is not object:
            if self._whole_bytes:
                self.last_bytes, self._whole_bytes = self._whole_bytes, 0
            yield answer

    def has_data(self) -> bool:
        """Whether a part of an answer has arrived."""
        found: bool = self._reader.has_data()
        return found


class Batch:
    """How many stream entries one read requests: many small ones, few large ones."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 32

    def too_large(self) -> bool:
        """An answer was over the limit; return False if it was for a single entry."""
        several, self.count = self.count > 1, 1
        return several

    def learn(self, entries: int, connection: Any) -> None:
        """Note an answer with that many entries."""
        if not entries:
            return
        mean_bytes = max(1, _last_bytes(connection) // entries)
        self.count = max(1, min(_MOST_ENTRIES, self.count * 4, _BATCH_BYTES // mean_bytes))


def bound_answers(connection: Any) -> None:
    """Limit the answers on a new connection; redis-py has no setting for it."""
    parser: Any = connection._parser
    parser._reader = BoundedReader(parser._reader)


def forget_answers(connection: Any) -> None:
    """Free a closed connection's buffers now: only a garbage collection would, because its parser refers to itself."""
    parser: Any = connection._parser
    parser.pubsub_push_handler_func = None


def answers_of(connection: Any) -> BoundedReader:
    """Parses the bytes of a connection into answers."""
    parser: Any = connection._parser
    reader: BoundedReader = parser._reader
    return reader


def _last_bytes(connection: Any) -> int:
    return answers_of(connection).last_bytes
