"""Limits the size of one Redis reply: a broken or hostile server may announce 2 GB and send without end.

hiredis holds an answer until it is whole, so that the bound stands where its bytes come in.
"""

from __future__ import annotations

from typing import Any

ANSWER_BYTES = 64 * 1024 * 1024
"""The largest event has 1 MiB; a read of a stream asks for less than this: see `Batch`."""
_BATCH_BYTES = 8 * 1024 * 1024
_MOST_ENTRIES = 500


class TooLargeError(Exception):
    """An answer is larger than the bound; the connection is of no more use. No OSError: redis-py would make one of its own of it."""


class _BoundedReader:
    """In the place of hiredis' reader, around it."""

    __slots__ = ("_gets", "_reader", "_whole_bytes", "last_bytes")

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._gets = reader.gets
        self._whole_bytes = 0
        """Fed since the last whole answer."""
        self.last_bytes = 0
        """Of the last answer, but for what came in one piece with others."""

    def feed(self, data: bytes) -> None:
        self._whole_bytes += len(data)
        if self._whole_bytes > ANSWER_BYTES:
            raise TooLargeError(f"the broker sends an answer of over {ANSWER_BYTES >> 20} MiB")
        self._reader.feed(data)

    def gets(self, *decode: bool) -> Any:
        answer = self._gets(*decode)
        if self._whole_bytes and type(answer) is not object:  # that is redis-py's sign for an answer that is not whole
            self.last_bytes, self._whole_bytes = self._whole_bytes, 0
        return answer

    def has_data(self) -> bool:
        found: bool = self._reader.has_data()
        return found


class Batch:
    """How many entries of a stream one read asks for: many small ones, few large ones."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 32

    def too_large(self) -> bool:
        """An answer was over the bound; False if it was that of a single entry already."""
        several, self.count = self.count > 1, 1
        return several

    def learn(self, entries: int, connection: Any) -> None:
        """An answer has come, with so many entries."""
        if not entries:
            return
        mean_bytes = max(1, _last_bytes(connection) // entries)
        self.count = max(1, min(_MOST_ENTRIES, self.count * 4, _BATCH_BYTES // mean_bytes))


def bound_answers(connection: Any) -> None:
    """Bound the answers on a connection that has just been made; redis-py has no setting for it."""
    parser: Any = connection._parser
    parser._reader = _BoundedReader(parser._reader)


def _last_bytes(connection: Any) -> int:
    parser: Any = connection._parser
    size_bytes: int = parser._reader.last_bytes
    return size_bytes
