"""Lets a client in: its token, its topics, the replica's limits, and its topics' subscriptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from fastapi import HTTPException
from starlette.requests import HTTPConnection

from core.errors import FanbenchError
from server.access import read_last_ids, read_topics, require_token
from server.link import TooManyTopicsError
from server.replica import Replica
from server.resume import Given, read_ids


class Admitted(NamedTuple):
    """A client whose topics are subscribed, until `release` is called."""

    topics: Sequence[str]
    given: Given | None
    release: Callable[[], None]


async def admit(request: HTTPConnection, replica: Replica) -> Admitted:
    """Admit a client and subscribe its topics; a refusal is counted.

    Raises:
        HTTPException: 400, 401, or 503 with Retry-After when there is no room or the broker does not answer.
    """
    try:
        return await _admit(request, replica)
    except HTTPException as error:
        replica.hub.ledger.refused[str(error.status_code)] += 1
        raise


async def _admit(request: HTTPConnection, replica: Replica) -> Admitted:
    settings, link = replica.settings, replica.link
    require_token(request, settings)
    names = read_topics(request, settings)
    given = read_ids(read_last_ids(request), names)
    later = {"retry-after": str(settings.retry_after_s)}
    if replica.hub.stopping:
        raise HTTPException(503, "this replica is stopping; connect to another one", later)
    if len(replica.hub.clients) + replica.joining >= settings.max_clients:
        words = f"this replica has {settings.max_clients} clients, its limit; connect to another one, or later"
        raise HTTPException(503, words, later)
    replica.joining += 1
    try:
        topics = await link.require(names)
    except TooManyTopicsError as error:
        raise HTTPException(503, str(error), later) from error
    except FanbenchError as error:
        raise HTTPException(503, "the broker does not answer; try again, or another replica", later) from error
    finally:
        replica.joining -= 1
    return Admitted(names, given, partial(link.release, topics))
