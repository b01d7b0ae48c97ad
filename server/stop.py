"""Ends a replica's streams gradually, because clients that are disconnected together reconnect together."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from itertools import islice

from server.client import Client
from server.hub import STOPPED, Hub

LEAVE_S = 1.0
"""How long clients may take to read their buffered events when their stream ends."""
_STEP_S = 0.05
_LEAST_PER_STEP = 10
"""Minimum pace, so that a few clients end at once."""


async def end_by_and_by(hub: Hub, spread_s: float) -> None:
    """End every stream within `spread_s` seconds, the oldest first; the others continue until their turn."""
    hub.stopping = True
    steps = max(1, math.ceil(spread_s / _STEP_S))
    share = max(_LEAST_PER_STEP, math.ceil(len(hub.clients) / steps))
    while hub.clients:
        end(hub, list(islice(hub.clients, share)), STOPPED)
        if hub.clients:
            await asyncio.sleep(_STEP_S)


def end(hub: Hub, clients: list[Client], reason: str) -> None:
    """End these streams cleanly, and close connections that have not read the end after LEAVE_S."""
    hub.end(clients, reason)
    asyncio.get_running_loop().call_later(LEAVE_S, abort, clients)


def abort(clients: Iterable[Client]) -> None:
    """Close connections that have not read the end of their stream."""
    for client in clients:
        client.writer.abort()
