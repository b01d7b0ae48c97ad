"""Numbers for events that have an id but no number: in the order in which any client of this process first received them."""

from __future__ import annotations

from hashlib import blake2b

REMEMBERED = 250_000
"""The newest ids of a process, over all topics, that are remembered in any case; twice as many take about 100 MB."""
_LONGEST = 64
"""Of a longer id, only a digest is remembered: a server may send 64 KB as one."""

_Known = dict[str, dict[str | bytes, int]]


class IdNumbers:
    """Gives each id of a place, which is a topic or a connection, its number.

    Two generations of `remembered` ids are kept; when the younger is full, the older is forgotten. An event whose id is
    forgotten gets another number if it comes again: a client that lags so far behind would count it as lost, and then as new.
    """

    __slots__ = ("_count", "_next", "_old", "_remembered", "_young", "forgotten")

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._young: _Known = {}
        self._old: _Known = {}
        self._count = 0
        self._next: dict[str, int] = {}
        self.forgotten = 0
        """How many ids it has forgotten."""

    def number(self, place: str, id: str) -> int:
        """Return the number of that id, counted from 0 in each place."""
        key = id if len(id) <= _LONGEST else blake2b(id.encode(), digest_size=32).digest()
        for known in (self._young, self._old):
            number = known.get(place, {}).get(key)
            if number is not None:
                return number
        if self._count == self._remembered:
            self._age()
        number = self._next.get(place, 0)
        self._next[place] = number + 1
        self._young.setdefault(place, {})[key] = number
        self._count += 1
        return number

    def _age(self) -> None:
        self.forgotten += sum(map(len, self._old.values()))
        self._old, self._young, self._count = self._young, {}, 0
