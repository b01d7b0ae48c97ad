"""When a broker that stores has replayed all: nobody says so, it is quiet then."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from server.topic import Topic

QUIET_S = 0.2
"""A broker that has replayed nothing for so long has replayed all."""
FILL_TIMEOUT_S = 5.0
_POLL_S = 0.02


async def all_replayed(topics: Sequence[Topic], loop: asyncio.AbstractEventLoop) -> None:
    """Wait until the broker has replayed what it stored of these topics, or FILL_TIMEOUT_S is over."""
    until_s = loop.time() + FILL_TIMEOUT_S
    while loop.time() < until_s:
        heard_since_s = loop.time() - QUIET_S
        if not any(topic.filling and topic.heard_s > heard_since_s for topic in topics):
            break
        await asyncio.sleep(_POLL_S)
