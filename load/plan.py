"""Assigns a topic and a replica to each seat of the run, in the same way in every process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from core.topics import topics_in_turn


class Seat(NamedTuple):
    """A client's place in the whole run: its number, its topic, its replica's number."""

    number: int
    topic: str
    replica: int


class Seating:
    """The seats 0, 1, 2 … of a run.

    For each n, the first n seats are spread over topics and replicas as evenly as possible, so the spread holds when
    the number of clients changes. The clients of each topic are spread evenly over the replicas, and so are all
    together; a plain round-robin would put all clients of every second topic on the same one of two replicas.
    """

    def __init__(self, topics: Sequence[str], skew: float, replicas: int) -> None:
        self._turns = topics_in_turn(topics, skew)
        self._of_topic: dict[str, list[int]] = {}
        self._of_all = [0] * replicas
        self._seats: list[Seat] = []

    def seat(self, number: int) -> Seat:
        """The seat with that number."""
        while len(self._seats) <= number:
            topic = next(self._turns)
            counts = self._of_topic.setdefault(topic, [0] * len(self._of_all))
            replica = min(range(len(counts)), key=lambda at: (counts[at], self._of_all[at]))
            counts[replica] += 1
            self._of_all[replica] += 1
            self._seats.append(Seat(len(self._seats), topic, replica))
        return self._seats[number]
