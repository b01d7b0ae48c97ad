"""Admits clients: checks the token, topics, ids and limits, and subscribes the topics. Each refusal says what to do."""

from __future__ import annotations

import hmac
import random
from collections.abc import Sequence
from functools import partial

from fastapi import HTTPException
from starlette.requests import HTTPConnection

from brokers.errors import TopicRefusedError, shown
from core.errors import FanbenchError
from core.topics import DEFAULT_TOPIC
from server.named_heartbeats import LONGEST_S
from server.replica import Replica
from server.resume import Given, is_placed, read_ids
from server.resume_request import read_last_ids
from server.settings import ServerSettings
from server.stream import Admitted
from server.subscription_settings import TooManyTopicsError
from server.subscriptions import all_of_it
from server.topic import Topic

MAX_TOPIC_BYTES = 1_024
"""The replica's own limit in bytes of UTF-8. The adapter knows the broker's, which may be lower."""


async def admit(request: HTTPConnection, replica: Replica) -> Admitted:
    """Admit a client and subscribe its topics; a refusal is counted.

    Raises:
        HTTPException: 400, 401, 403 for a topic that the broker forbids, or 503 with Retry-After when there is no room or the broker does not answer.
    """
    try:
        return await _admit(request, replica)
    except HTTPException as error:
        replica.hub.ledger.refused[str(error.status_code)] += 1
        raise


async def _admit(request: HTTPConnection, replica: Replica) -> Admitted:
    names = check(request, replica)
    ids = read_last_ids(request)
    given = read_ids(ids.values, names, unread=ids.unread)
    replica.joining += 1
    try:
        topics = await replica.link.require(names, all_of_it if given is None else partial(_has_place, given))
    except TopicRefusedError as error:
        raise HTTPException(*_refusal(error)) from error
    except TooManyTopicsError as error:
        raise HTTPException(503, str(error), _later(replica)) from error
    except FanbenchError as error:
        words = "the broker does not answer; try again, or another replica"
        raise HTTPException(503, words, _later(replica)) from error
    finally:
        replica.joining -= 1
    return Admitted(names, given, read_heartbeat_s(request), partial(replica.link.release, topics))


def _has_place(given: Given, topics: Sequence[Topic]) -> bool:
    """Whether a client's position is known while history is still loading: at the start, or after its ids."""
    return is_placed(given, {topic.name: topic.history for topic in topics})


def check(request: HTTPConnection, replica: Replica) -> list[str]:
    """Checks that need no subscription; returns the topics' names.

    Raises:
        HTTPException: 400, 401, or 503 with Retry-After when there is no room.
    """
    settings = replica.settings
    require_token(request, settings)
    names = read_topics(request, settings)
    read_heartbeat_s(request)
    if replica.hub.stopping:
        raise HTTPException(503, "this replica is stopping; connect to another one", _later(replica))
    if len(replica.hub.clients) + replica.joining >= settings.max_clients:
        words = f"this replica has {settings.max_clients} clients, its limit; connect to another one, or later"
        raise HTTPException(503, words, _later(replica))
    return names


def _later(replica: Replica) -> dict[str, str]:
    return {"retry-after": str(_spread_s(replica.settings.retry_after_s))}


def _refusal(error: TopicRefusedError) -> tuple[int, str]:
    """Status and text for a topic that the broker, or its protocol, refuses."""
    kind, reason = error.refusal
    if kind == "forbidden":
        return 403, f"topic {shown(error.topic)}: the broker forbids it: {reason}; ask for a topic that is granted here"
    return 400, f"topic {shown(error.topic)} cannot be used with this broker: {reason}; use a shorter or plainer name"


def _spread_s(mean_s: int) -> int:
    """Return the delay ±50%: clients that are refused together must not return together."""
    return random.randint(-(-mean_s // 2), mean_s * 3 // 2)


def require_token(request: HTTPConnection, settings: ServerSettings) -> None:
    """Compare the bearer token, in constant time. `?token=` is for EventSource, which cannot send headers.

    Raises:
        HTTPException: 401, the token is missing or wrong.
    """
    if settings.token is None:
        return
    token = settings.token.get_secret_value()
    given = _bearer(request) or request.query_params.get("token", "").encode()
    if sum(hmac.compare_digest(given, one) for one in _as_sent(token)) == 0 or not given:
        words = "wrong token" if given else "this replica requires a token"
        raise HTTPException(
            401,
            f"{words}; send it as 'Authorization: Bearer TOKEN', or as ?token=TOKEN if no header can be sent",
            {"www-authenticate": "Bearer"},
        )


def _as_sent(token: str) -> list[bytes]:
    """A header is bytes: most clients send UTF-8, a browser's fetch sends Latin-1, if it has all characters."""
    beyond = any(ord(character) > 0xFF for character in token)
    return [token.encode()] if beyond else [token.encode(), token.encode("latin-1")]


def _bearer(request: HTTPConnection) -> bytes:
    """The token in the header, unchanged; empty if there is none."""
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            scheme, _, given = value.partition(b" ")
            return given.strip() if scheme.lower() == b"bearer" else b""
    return b""


def read_topics(request: HTTPConnection, settings: ServerSettings) -> list[str]:
    """The topics of `?topic=a&topic=b`, without duplicates; the default topic if there are none.

    Raises:
        HTTPException: 400, a name cannot be used, there are too many, or a parameter's name is misspelt.
    """
    if not request.scope["query_string"]:
        return [DEFAULT_TOPIC]
    for name in request.query_params:
        if name != "topic" and name.lower().removesuffix("[]").removesuffix("s") == "topic":
            raise HTTPException(400, f"parameter {shown(name)} is not read; name each topic like ?topic=a&topic=b")
    names = list(dict.fromkeys(request.query_params.getlist("topic"))) or [DEFAULT_TOPIC]
    if len(names) > settings.max_topics_per_client:
        raise HTTPException(
            400, f"{len(names)} topics; a client may have {settings.max_topics_per_client}, so open another stream"
        )
    for name in names:
        size = len(name.encode(errors="surrogatepass"))
        if not 0 < size <= MAX_TOPIC_BYTES or not name.isprintable() or any(c.isspace() for c in name):
            raise HTTPException(
                400,
                f"topic {shown(name)} is empty, has blanks or over {MAX_TOPIC_BYTES} bytes of UTF-8; "
                "name it like ?topic=events",
            )
    return names


def read_heartbeat_s(request: HTTPConnection) -> int:
    """How often the client wants `event: heartbeat`, in seconds; 0 if it did not ask.

    Raises:
        HTTPException: 400, it is not a whole number of seconds, or too large.
    """
    if b"heartbeat" not in request.scope["query_string"]:
        return 0
    text = request.query_params.get("heartbeat", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= LONGEST_S):
        raise HTTPException(
            400, f"heartbeat={text[:20]!r}: give whole seconds, {LONGEST_S} at most, like ?heartbeat=15"
        )
    return int(text)
