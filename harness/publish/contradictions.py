"""Finds each stored value that differs from the measurement, and names its file and field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

MISSING = object()
MOST_SHOWN = 160
"""Characters of one value in a sentence."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A stored value that differs from the one derived from the rest of the bundle."""

    where: str
    """File and field: `broadcast/summary.csv: run 3 of valkey: p99_ms`."""
    stored: str
    derived: str
    """The value derived from the histograms and rows."""

    def __str__(self) -> str:
        return f"{self.where} is {_short(self.stored)}; derived: {_short(self.derived)}"


def _short(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def unequal(where: str, stored: object, derived: object) -> Iterator[Contradiction]:
    """Yield a difference for each unequal leaf of two values of the same shape, down to cells and sentences."""
    if isinstance(stored, BaseModel) and type(stored) is type(derived):
        for name in type(stored).model_fields:
            yield from unequal(_within(where, name), getattr(stored, name), getattr(derived, name))
    elif isinstance(stored, Mapping) and isinstance(derived, Mapping):
        for key in dict.fromkeys([*stored, *derived]):
            yield from unequal(_within(where, key), stored.get(key, MISSING), derived.get(key, MISSING))
    elif isinstance(stored, tuple) and isinstance(derived, tuple):
        yield from _in_turn(where, stored, derived)
    elif stored != derived:
        yield Contradiction(where, _said(stored), _said(derived))


def _in_turn(where: str, stored: Sequence[object], derived: Sequence[object]) -> Iterator[Contradiction]:
    for place in range(max(len(stored), len(derived))):
        one = stored[place] if place < len(stored) else MISSING
        other = derived[place] if place < len(derived) else MISSING
        yield from unequal(f"{where}[{place}]", one, other)


def _within(where: str, name: object) -> str:
    return f"{where}{name}" if where.endswith(" ") else f"{where}.{name}"


def _said(value: object) -> str:
    if value is MISSING:
        return "missing"
    return repr(value) if isinstance(value, str) else f"{value}"
