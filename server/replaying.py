"""Detects when a storing broker has replayed everything. No broker reports this; it simply falls silent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from server.topic import Topic

QUIET_S = 0.2
"""After this silence the replay counts as complete."""
FILL_TIMEOUT_S = 5.0
_POLL_S = 0.02


async def all_replayed(topics: Sequence[Topic], loop: asyncio.AbstractEventLoop) -> None:
    """Wait until the broker has replayed its stored events of these topics, or FILL_TIMEOUT_S has passed."""
    until_s = loop.time() + FILL_TIMEOUT_S
    while loop.time() < until_s:
        heard_since_s = loop.time() - QUIET_S
        if not any(topic.filling and topic.heard_s > heard_since_s for topic in topics):
            break
        await asyncio.sleep(_POLL_S)
