"""Topic lists as text, and which client listens to which topic; every program gets the same result."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Annotated

from pydantic import AfterValidator

from core.errors import UsageError

DEFAULT_TOPIC = "events"
MAX_TOPICS = 100_000
_RANGE = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}")
_OTHER_RANGE = re.compile(r"\{[^{}]*\.\.[^{}]*\}")
_EXACT = 1e-6  # tolerance for sums of floats, in clients


def expand_topics(text: str) -> list[str]:
    """`events`, `a,b` or `room-{0..999}` (as in a shell) as the list of topic names, without duplicates.

    Raises:
        UsageError: a name is empty or has white space or control characters, a range is reversed or
            not of whole numbers, or there are more than MAX_TOPICS names.
    """
    names: dict[str, None] = {}
    for part in text.split(","):
        match = _RANGE.search(part)
        other = _OTHER_RANGE.search(part.replace(match[0], "", 1) if match else part)
        if other is not None:
            raise UsageError(
                f"topics {part!r:.200}: {other[0]:.100} is not expanded; give one range of whole numbers, {{0..9}}"
            )
        if match is None:
            names[part] = None
            continue
        first, last = int(match[1]), int(match[2])
        if last < first or last - first >= MAX_TOPICS:
            raise UsageError(f"topic range {match[0]} runs backwards or names over {MAX_TOPICS} topics; give {{0..9}}")
        if last - first + len(names) >= MAX_TOPICS:
            raise UsageError(f"topics {text!r:.200}: they are over {MAX_TOPICS}; give fewer")
        names.update((part[: match.start()] + str(n) + part[match.end() :], None) for n in range(first, last + 1))
    for name in names:
        if not name or not name.isprintable() or any(c.isspace() for c in name):
            raise UsageError(f"topic {name!r} is empty or has blanks; name topics like 'events' or 'room-{{0..9}}'")
    return list(names)


def _checked(text: str) -> str:
    try:
        expand_topics(text)
    except UsageError as error:
        raise ValueError(str(error)) from error
    return text


TopicList = Annotated[str, AfterValidator(_checked)]
"""A topic list as a pydantic field: text that `expand_topics` accepts."""


def topic_pattern(count: int) -> str:
    """The pattern of `count` topics: `events` for one, `room-{0..N}` for more."""
    return DEFAULT_TOPIC if count == 1 else f"room-{{0..{count - 1}}}"


def topics_in_turn(topics: Sequence[str], skew: float) -> Iterator[str]:
    """The topics of clients 0, 1, 2 …, endlessly, by Zipf's law: topic k's share is proportional to 1 / (k+1)^skew.

    Deterministic; skew 0 is round robin. For each n, the first n clients have each topic in proportion, to within one
    client. This is a fair schedule: if every p-th client should have a topic, its j-th client comes between client
    (j-1) p and client j p. Of the topics that may come next, the one with the earliest deadline does.
    """
    weights = [1.0 / (k + 1) ** skew for k in range(len(topics))]
    whole = sum(weights)
    every = [whole / weight for weight in weights]
    due = [(every[k], k, 1) for k in range(len(topics))]  # (deadline, topic, which of its clients): may come now
    heapq.heapify(due)
    later: list[tuple[float, int, int]] = []  # (earliest, topic, which of its clients)
    for client in count():
        while later and later[0][0] <= client + _EXACT:
            _, k, nth = heapq.heappop(later)
            heapq.heappush(due, (nth * every[k], k, nth))
        _, k, nth = heapq.heappop(due)
        heapq.heappush(later, (nth * every[k], k, nth + 1))
        yield topics[k]
