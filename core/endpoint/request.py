"""How a stream is asked for: method, path, headers, cookies, body and TLS, with `{topic}` and `{user}` where clients differ."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple
from urllib.parse import quote

import orjson
from pydantic import BaseModel, ConfigDict

from core.endpoint.dialect import Dialect
from core.endpoint.origin import Origin
from core.errors import UsageError

DEFAULT_PATH = "/sse?topic={topic}"
Method = Literal["GET", "POST"]
_HOLE = re.compile(r"\{(\w*)\}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOLES = ("topic", "user")
_OURS = {"host", "content-length", "transfer-encoding", "connection", "last-event-id"}
"""Headers that follow from the rest of the request."""


class NamedValue(NamedTuple):
    """A header, a cookie or a part of a query."""

    name: str
    value: str


class TlsSettings(BaseModel):
    """How `https://` is spoken. Files are read by the process that holds the clients; '' is the default of each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca_file: str = ""
    """PEM certificates that are trusted instead of the system's."""
    server_name: str = ""
    """What the server's certificate must name, and what SNI says; default: the host of the URL."""
    cert_file: str = ""
    """PEM certificate of the clients, where the server asks for one."""
    key_file: str = ""
    """PEM key of `cert_file`; default: in the same file."""


class StreamRequest(BaseModel):
    """The request of one client. `{topic}` and `{user}`, the number of the client, may stand in each value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = "GET"
    path: str = DEFAULT_PATH
    query: tuple[NamedValue, ...] = ()
    """Added to what `path` has."""
    headers: tuple[NamedValue, ...] = ()
    cookies: tuple[NamedValue, ...] = ()
    body: str = ""

    @property
    def names_topic(self) -> bool:
        """Whether clients of different topics ask for different things."""
        values = [self.path, self.body, *(part.value for part in (*self.query, *self.headers, *self.cookies))]
        return any("{topic}" in value for value in values)

    def target(self, origin: Origin, topic: str, user: int) -> str:
        """What stands behind the method, percent-encoded where the topic needs it."""
        path = origin.prefix + _filled(self.path, quote(topic, safe=""), user)
        more = "&".join(
            f"{quote(name, safe='')}={quote(_filled(value, topic, user), safe='')}" for name, value in self.query
        )
        return f"{path}{'&' if '?' in path else '?'}{more}" if more else path

    def fields(self, topic: str, user: int) -> list[NamedValue]:
        """The headers, cookies among them."""
        found = [NamedValue(name, _filled(value, topic, user)) for name, value in self.headers]
        if self.cookies:
            crumbs = "; ".join(f"{name}={_filled(value, topic, user)}" for name, value in self.cookies)
            found.append(NamedValue("Cookie", crumbs))
        return found

    def content(self, topic: str, user: int) -> bytes:
        """The body; the topic stands in it as JSON text does, without its quotes."""
        return _filled(self.body, orjson.dumps(topic).decode()[1:-1], user).encode()


class StreamEndpoint(BaseModel):
    """A service that streams events: how it is asked and what its events mean. Its address is apart: there may be several."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: StreamRequest = StreamRequest()
    tls: TlsSettings = TlsSettings()
    dialect: Dialect = Dialect()
    tokens_file: str = ""
    """Bearer tokens, one a line: client n sends that of line n, and after the last the first again."""
    pause_s: float = 1.0
    """How long a client waits before it asks again where an answer to a POST has ended in good order."""


def _filled(text: str, topic: str, user: int) -> str:
    return text.replace("{topic}", topic).replace("{user}", str(user))


def check_holes(text: str) -> str:
    """The text, if each `{name}` in it is one that is filled.

    Raises:
        ValueError: another name stands in braces.
    """
    for name in _HOLE.findall(text):
        if name not in _HOLES:
            raise ValueError(f"{{{name}}} is not known; {{topic}} and {{user}} are what is filled in")
    return text


def check_path(text: str) -> str:
    """The path, if a request can name it.

    Raises:
        ValueError: it does not begin with a slash, has blanks or characters that must be encoded, or an unknown hole.
    """
    check_holes(text)
    if not text.startswith("/"):
        raise ValueError("a path begins with a slash; the host stands in --host")
    if not text.isascii() or not text.isprintable() or " " in text or "#" in text:
        raise ValueError("it has blanks, '#' or letters beyond ASCII; write them percent-encoded, such as %20")
    return text


def parse_header(text: str) -> NamedValue:
    """A header as `Name: value`.

    Raises:
        ValueError: it is no header, or one that follows from other options.
    """
    name, colon, value = text.partition(":")
    value = value.strip()
    if not colon or not _HEADER_NAME.fullmatch(name):
        raise ValueError("it takes 'Name: value'")
    if name.lower() in _OURS:
        raise ValueError(f"{name} follows from the rest of the request; leave it out")
    if not value.isprintable():
        raise ValueError("its value has control characters, which no header may have")
    return NamedValue(name, check_holes(value))


def parse_pair(text: str) -> NamedValue:
    """A cookie or a part of a query as `name=value`.

    Raises:
        ValueError: it is none.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not text.isprintable():
        raise ValueError("it takes 'name=value'")
    return NamedValue(name.strip(), check_holes(value))


def parse_cookie(text: str) -> NamedValue:
    """A cookie as `name=value`.

    Raises:
        ValueError: it is none.
    """
    pair = parse_pair(text)
    if not _HEADER_NAME.fullmatch(pair.name) or ";" in pair.value:
        raise ValueError("it takes 'name=value', one cookie each time")
    return pair


def require_whole(request: StreamRequest, tls: TlsSettings, schemes: Iterable[str]) -> None:
    """Raise for parts that do not go together.

    Raises:
        UsageError: a body without POST, or TLS files without https://.
    """
    if request.body and request.method != "POST":
        raise UsageError("--body: a GET has no body; add --method POST")
    if tls.key_file and not tls.cert_file:
        raise UsageError(f"--client-key {tls.key_file!r}: of which certificate? Give it with --client-cert")
    if tls != TlsSettings() and "https" not in set(schemes):
        raise UsageError("--ca-file, --sni and --client-cert are for https://, and no --host or --replicas is that")
