"""Assigns the seats of the whole run: each to one process at a time, the lowest free one first."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import NamedTuple


class Grant(NamedTuple):
    """Seats that were given to a process."""

    holder: str
    numbers: list[int]


class SeatPool:
    """The seats of a run, by the name of the process that has them.

    A process asks for a seat for each user without one. It gets them when they are free, so a run never has more
    clients than requested, even while Locust moves users between workers.
    """

    def __init__(self) -> None:
        self._free: list[int] = []  # a heap, of numbers below `_fresh`
        self._fresh = 0
        self._holders: dict[int, str] = {}
        self._asking: dict[str, int] = {}

    def ask(self, holder: str, count: int) -> None:
        """A process needs this many more seats; `deal` hands them out."""
        self._asking[holder] = self._asking.get(holder, 0) + count

    def deal(self, seats: int) -> list[Grant]:
        """Hand out free seats, of that many in total, to the earliest requests."""
        grants = []
        for holder, wanted in list(self._asking.items()):
            numbers = [self._take(holder) for _ in range(min(wanted, seats - len(self._holders)))]
            if not numbers:
                break
            grants.append(Grant(holder, numbers))
            if len(numbers) == wanted:
                del self._asking[holder]
            else:
                self._asking[holder] = wanted - len(numbers)
        return grants

    def _take(self, holder: str) -> int:
        if self._free:
            number = heapq.heappop(self._free)
        else:
            number, self._fresh = self._fresh, self._fresh + 1
        self._holders[number] = holder
        return number

    def give_back(self, holder: str, numbers: Iterable[int]) -> None:
        """Free these seats, except those that another process has by now."""
        for number in numbers:
            if self._holders.get(number) == holder:
                del self._holders[number]
                heapq.heappush(self._free, number)

    def forget(self, holder: str) -> None:
        """A process has ended: free its seats and drop its requests."""
        self._asking.pop(holder, None)
        self.give_back(holder, [number for number, one in self._holders.items() if one == holder])
