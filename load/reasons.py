"""Counts by reason. A server may choose the words, so only so many reasons are kept, and fewer are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

MOST_REASONS = 50
OTHERS = "other reasons"
_SHOWN = 5


class Reasons:
    """Counts up to MOST_REASONS reasons, and all further ones together: each event may have a different reason."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def _place(self, reason: str) -> str:
        return reason if reason in self._counts or len(self._counts) < MOST_REASONS else OTHERS

    def __getitem__(self, reason: str) -> int:
        return self._counts[self._place(reason)]

    def __setitem__(self, reason: str, count: int) -> None:
        self._counts[self._place(reason)] = count

    def copy(self) -> Counter[str]:
        """The counts."""
        return self._counts.copy()


def told(counts: Mapping[str, int]) -> str:
    """The most frequent reasons, in alphabetical order, and how many others there are."""
    most = sorted(counts, key=lambda reason: -counts[reason])
    shown, rest = most[:_SHOWN], most[_SHOWN:]
    words = [f"{counts[reason]:,} x {reason}" for reason in sorted(shown)]
    if rest:
        words.append(f"{sum(counts[reason] for reason in rest):,} for {len(rest):,} other reasons")
    return ", ".join(words)
