"""What an endpoint's answer means: a stream, a redirect, an order to stop, or a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from core.plain_text import plain
from load.http1 import Http1Error, ResponseHead

_REDIRECTS = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 10
LONGEST_WAIT_S = 3600.0
_STEPS = {
    400: "see the service's log; --path, --query, --header and --body make up the request",
    401: "give credentials: --token, --tokens, --header or --cookie",
    403: "these credentials may not listen here",
    404: "see --path and --topic",
    405: "see --method",
    406: "the service does not offer text/event-stream here",
    415: "see the Content-Type that --header gives",
    429: "lower -r or -u, or raise the service's limit",
}


class RefusalError(Http1Error):
    """The server answered without a stream. `wait_s` is how long the client must wait before it retries.

    None if the server does not say.
    """

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Redirect:
    """The stream is at another address.

    `keeps_method` says whether to repeat the method or to send a GET without a body.
    """

    url: str
    keeps_method: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """204: an event source must not reconnect."""


def judge(head: ResponseHead, url: str, now_s: float) -> Redirect | Stop | None:
    """Return the meaning of the answer to a request for `url`; None if it begins a stream.

    Raises:
        RefusalError: no stream follows this answer.
    """
    if head.status == 200:
        return None
    if head.status == 204:
        return Stop()
    if head.status in _REDIRECTS:
        location = head.headers.get("location", "")
        if not location:
            raise RefusalError(f"status {head.status} without a Location to go to")
        try:
            target = urljoin(url, location)
            urlsplit(target)
        except ValueError as error:
            raise RefusalError(f"status {head.status} with a Location that is no URL: {error}") from None
        return Redirect(target, head.status in (307, 308))
    wait_s = retry_after_s(head.headers.get("retry-after", ""), now_s)
    asked = f", Retry-After {head.headers['retry-after']}" if wait_s is not None else ""
    step = _STEPS.get(head.status, "see the service's log" if head.status >= 500 else "")
    raise RefusalError(
        f"status {head.status} {_phrase(head.status)}{asked}".rstrip() + (f": {step}" if step else ""), wait_s
    )


def shown(url: str) -> str:
    """A redirect's target for an error: without user, password and query, which may be secrets."""
    parts = urlsplit(url)
    return plain(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")[:80]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def retry_after_s(text: str, now_s: float) -> float | None:
    """Return the seconds in `Retry-After`, a number or a date, at most an hour; None if the value cannot be parsed."""
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_WAIT_S)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(0.0, (at - datetime.fromtimestamp(now_s, UTC)).total_seconds()), LONGEST_WAIT_S)
