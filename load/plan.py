"""Which client asks which replica for which topic, and which clients are this process's."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

from core.topics import assign_topics


class Share(NamedTuple):
    """This process is worker number `rank` of `workers`, which hold `clients` clients together."""

    rank: int
    workers: int
    clients: int


class Seat(NamedTuple):
    """A client's place in the whole run: its number, its topic, its replica's number."""

    number: int
    topic: str
    replica: int


def place(topics: Sequence[str], replicas: int) -> list[int]:
    """The replica of each client: those of each topic are spread evenly, and so are all together.

    A plain round-robin would put all clients of every second topic on the same one of two replicas.
    """
    of_topic: dict[str, list[int]] = {}
    of_all = [0] * replicas
    chosen: list[int] = []
    for topic in topics:
        counts = of_topic.setdefault(topic, [0] * replicas)
        replica = min(range(replicas), key=lambda at: (counts[at], of_all[at]))
        counts[replica] += 1
        of_all[replica] += 1
        chosen.append(replica)
    return chosen


class SeatPlan:
    """Deals out the seats of one process: worker k of W has the clients k, k + W, k + 2 W … of the whole run."""

    def __init__(self, share: Share, topics: Sequence[str], skew: float, replicas: int) -> None:
        self.share = share
        self._topics = assign_topics(topics, max(share.clients, 1), skew)
        self._replicas = place(self._topics, replicas)
        self._dealt = 0
        self._returned: list[int] = []

    def take(self) -> Seat:
        """The free seat with the lowest number; past the planned clients the seats begin again from the first."""
        if self._returned:
            number = heapq.heappop(self._returned)
        else:
            number = self.share.rank + self._dealt * self.share.workers
            self._dealt += 1
        at = number % len(self._topics)
        return Seat(number, self._topics[at], self._replicas[at])

    def give_back(self, seat: Seat) -> None:
        """A client has left; the next one to come takes its seat."""
        heapq.heappush(self._returned, seat.number)
