"""Topic lists as text, and which client listens to which topic: the same answer in every program."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator

from core.errors import UsageError

DEFAULT_TOPIC = "events"
MAX_TOPICS = 100_000
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def expand_topics(text: str) -> list[str]:
    """`events`, `a,b` or `room-{0..999}` (as in a shell) as the list of topic names, without doubles.

    Raises:
        UsageError: a name is empty or has white space or control characters, a range runs backwards, or there
            are more than MAX_TOPICS names.
    """
    names: dict[str, None] = {}
    for part in text.split(","):
        match = _RANGE.search(part)
        if match is None:
            names[part] = None
            continue
        first, last = int(match[1]), int(match[2])
        if last < first or last - first >= MAX_TOPICS:
            raise UsageError(f"topic range {match[0]} runs backwards or names over {MAX_TOPICS} topics; give {{0..9}}")
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
"""A topic list as a pydantic field: text that `expand_topics` takes."""


def topic_pattern(count: int) -> str:
    """The pattern of `count` topics: `events` for one, `room-{0..N}` for more."""
    return DEFAULT_TOPIC if count == 1 else f"room-{{0..{count - 1}}}"


def assign_topics(topics: Sequence[str], clients: int, skew: float) -> list[str]:
    """The topic of each client 0..clients-1, by Zipf's law: topic k has a share in proportion to 1 / (k+1)^skew.

    Deterministic; skew 0 spreads evenly. Shares are rounded by the largest-remainder method and then dealt out
    interleaved, so that each stretch of consecutive clients sees about the whole mix.
    """
    weights = [1.0 / (k + 1) ** skew for k in range(len(topics))]
    total = sum(weights)
    exact = [clients * weight / total for weight in weights]
    counts = [int(share) for share in exact]
    by_remainder = sorted(range(len(topics)), key=lambda k: (counts[k] - exact[k], k))
    for k in by_remainder[: clients - sum(counts)]:
        counts[k] += 1
    slots = [((i + 0.5) / count, k) for k, count in enumerate(counts) for i in range(count)]
    return [topics[k] for _, k in sorted(slots)]
