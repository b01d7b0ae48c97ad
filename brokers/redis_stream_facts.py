"""What Redis reports about a stream: its ids and counts, even if an entry is too large to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from brokers.redis_link import ResponseError
from brokers.redis_primary import Ask

START = b"0-0"
_SCRIPT = """
local facts, words = {}, redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #words, 2 do facts[words[i]] = words[i + 1] end
local first, following = facts['first-entry'], redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', 1)[1]
return {first and first[1] or '', facts['last-generated-id'], facts['length'], facts['entries-added'] or 0, following and following[1] or ''}
"""
"""XINFO answers with the complete first and last entry, this script only with their ids. The user needs EVAL."""


def order(position: bytes) -> tuple[int, int]:
    """A stream id such as 1700000000000-3 as numbers, which compare in the stream's order."""
    milliseconds, _, sequence = position.partition(b"-")
    return int(milliseconds), int(sequence or 0)


@dataclass(frozen=True, slots=True)
class RedisStreamFacts:
    """Facts of a stream; all 0 if there is no such stream."""

    first: bytes = START
    """Id of the first remaining entry, or `last` if there is none."""
    last: bytes = START
    """Id of the last entry that was ever added."""
    length: int = 0
    added: int = 0
    """How many entries were ever added: fewer than before means another stream of this name."""
    following: bytes = b""
    """Id of the entry after the position, if it was requested and exists."""


async def facts_of(ask: Ask, stream: str) -> RedisStreamFacts:
    """Read the stream's facts.

    Raises:
        TooLargeError: its first or last entry is too large.
    """
    found = await _asked(ask, "XINFO", "STREAM", stream)
    if not found:
        return RedisStreamFacts()
    facts = dict(zip(found[::2], found[1::2], strict=True))
    last: bytes = facts[b"last-generated-id"]
    return RedisStreamFacts(
        (facts[b"first-entry"] or [last])[0], last, facts[b"length"], int(facts.get(b"entries-added", 0))
    )


async def ids_of(ask: Ask, stream: str, position: bytes) -> RedisStreamFacts:
    """Read the facts from ids alone, and which entry follows a position.

    Raises:
        ResponseError: this user may not run scripts.
    """
    found = await _asked(ask, "EVAL", _SCRIPT, 1, stream, position or START)
    if not found:
        return RedisStreamFacts()
    first, last, length, added, following = found
    return RedisStreamFacts(first or last, last, length, added, following)


async def _asked(ask: Ask, *command: str | bytes | int) -> Sequence[Any]:
    try:
        found: Sequence[Any] = await ask(*command)
    except ResponseError as error:
        if "no such key" in str(error):
            return ()
        raise
    return found


async def require_reading(ask: Ask, stream: str) -> None:
    """Request no entries, only the error that a read would raise.

    Raises:
        ResponseError: this user may not read it, or it is not a stream.
    """
    await ask("XREAD", "COUNT", 1, "STREAMS", stream, "$")
