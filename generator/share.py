"""Which events of one common schedule a process publishes: those of every third topic, for instance. Nothing here waits or sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from core.errors import UsageError

MAX_SHARES = 1_024


class Share(NamedTuple):
    """Share `number` of `of`, counted from 1. Each topic, or session, is in exactly one of the shares: the order in a topic is kept."""

    number: int = 1
    of: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def holds(self, index: int) -> bool:
        """Whether the topic or session at this place, counted from 0, is in it."""
        return index % self.of == self.number - 1

    def topics_of(self, topics: Sequence[str]) -> list[str]:
        """Its topics.

        Raises:
            UsageError: there are none.
        """
        own = [topic for index, topic in enumerate(topics) if self.holds(index)]
        if not own:
            raise UsageError(
                f"share {self}: no topic is left for it; there are {len(topics)}, and one process publishes all events of a topic, "
                f"in their order; give {len(topics)} shares or processes at most, or more topics"
            )
        return own

    def split(self, processes: int) -> list[Share]:
        """Split this share into that many shares."""
        return [Share(self.number + part * self.of, self.of * processes) for part in range(processes)]


WHOLE = Share()


def parse_share(text: str) -> Share:
    """Parse `2/3`; an empty text is the whole.

    Raises:
        ValueError: the text has another form.
    """
    if not text:
        return WHOLE
    number, _, of = text.partition("/")
    if number.isdecimal() and of.isdecimal() and len(text) < 12 and 1 <= int(number) <= int(of) <= MAX_SHARES:
        return Share(int(number), int(of))
    raise ValueError(f"not a share; give for instance 2/3, the second of three (of {MAX_SHARES} at most)")
