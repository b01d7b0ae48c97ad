"""What an endpoint's answer means: a stream, a redirect, the word to stop, or a refusal in words."""

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
    """The server answered, and gave no stream. `wait_s` is how long it asks to be left alone; None if it does not say."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where the stream is instead; `keeps_method` tells whether it is asked for as before or by GET without a body."""

    url: str
    keeps_method: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """204: an event source must not come back."""


def judge(head: ResponseHead, url: str, now_s: float) -> Redirect | Stop | None:
    """What the answer to a request for `url` means; None for the beginning of a stream.

    Raises:
        RefusalError: it is no answer of which a stream follows.
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
    step = _STEPS.get(head.status, "")
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
    """The seconds that `Retry-After` asks for, as a number or as a date, at most an hour; None if it says nothing that can be read."""
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_WAIT_S)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(0.0, (at - datetime.fromtimestamp(now_s, UTC)).total_seconds()), LONGEST_WAIT_S)
