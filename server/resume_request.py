"""Reads the last event ids of a request, from the header and the query parameters that clients use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from starlette.requests import HTTPConnection

_HEADER = b"last-event-id"
_PARAMETER = "lasteventid"
"""`last_event_id` is ours; event-source-polyfill and Mercure write `lastEventId`, `lastEventID`, `Last-Event-ID`."""
_RESUMES = {
    *("after", "afterid", "cursor", "eventid", "from", "fromid", "id", "lastid", "lastseenid", "lastseq"),
    *("offset", "position", "resume", "resumefrom", "resumeid", "seq", "since", "sinceid", "start"),
}
"""Parameter names with which clients of other servers resume, in the form of `_plain`."""


class LastIds(NamedTuple):
    """The values that are or should be ids, and the first name that looks like a resume but is not supported."""

    values: Sequence[str]
    unread: str


NONE = LastIds((), "")


def read_last_ids(request: HTTPConnection) -> LastIds:
    """The client's last event ids. The header wins, because EventSource keeps it up to date, but not its URL."""
    values: list[str] = []
    unread = ""
    for name, value in request.scope["headers"]:
        if _HEADER in name:
            if name == _HEADER:
                values.append(value.decode("latin-1").strip())
            else:
                unread = name.decode("latin-1")
    values = [value for value in values if value]
    if values or not request.scope["query_string"]:
        return LastIds(values, unread) if values or unread else NONE
    for name, value in request.query_params.multi_items():
        plain = _plain(name)
        if plain == _PARAMETER:
            values.append(value.strip())
        elif not unread and (plain in _RESUMES or _PARAMETER in plain):
            unread = name
    return LastIds([value for value in values if value], unread)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").removesuffix("[]")
