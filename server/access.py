"""Who may listen, and to what: the token, and the topics and ids of a request. Each refusal says what to do."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from fastapi import HTTPException
from starlette.requests import HTTPConnection

from core.topics import DEFAULT_TOPIC
from server.settings import ServerSettings

MAX_TOPIC_CHARACTERS = 200


def require_token(request: HTTPConnection, settings: ServerSettings) -> None:
    """Compare the bearer token, in constant time. `?token=` serves EventSource, which can send no header.

    Raises:
        HTTPException: 401, the token is missing or wrong.
    """
    if settings.token is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = request.query_params.get("token", "")
    if not hmac.compare_digest(given.strip().encode(), settings.token.get_secret_value().encode()):
        words = "wrong token" if given else "this replica asks for a token"
        raise HTTPException(
            401,
            f"{words}; send it as 'Authorization: Bearer TOKEN', or as ?token=TOKEN where no header can be sent",
            {"www-authenticate": "Bearer"},
        )


def read_topics(request: HTTPConnection, settings: ServerSettings) -> list[str]:
    """The topics of `?topic=a&topic=b`, without doubles; the default topic if there are none.

    Raises:
        HTTPException: 400, a name cannot be used or there are too many.
    """
    if not request.scope["query_string"]:
        return [DEFAULT_TOPIC]
    names = list(dict.fromkeys(request.query_params.getlist("topic"))) or [DEFAULT_TOPIC]
    if len(names) > settings.max_topics_per_client:
        raise HTTPException(
            400, f"{len(names)} topics; a client may have {settings.max_topics_per_client}, so open another stream"
        )
    for name in names:
        if not 0 < len(name) <= MAX_TOPIC_CHARACTERS or not name.isprintable() or any(c.isspace() for c in name):
            raise HTTPException(
                400,
                f"topic {name[:40]!r} is empty, has blanks or over {MAX_TOPIC_CHARACTERS} characters; "
                "name it like ?topic=events",
            )
    return names


def read_last_ids(request: HTTPConnection) -> Sequence[str]:
    """What the client says it got last. The header wins: EventSource keeps it up to date, and its URL not."""
    header = request.headers.get("last-event-id")
    if header or not request.scope["query_string"]:
        return [header] if header else ()
    return request.query_params.getlist("last_event_id")
