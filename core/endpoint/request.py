"""How to request a stream: method, path, headers, cookies, body and TLS, with `{topic}` and `{user}` where clients differ."""

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
    """The settings for `https://`. The process with the clients reads the files; '' stands for each default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca_file: str = ""
    """PEM certificates that are trusted instead of the system's."""
    server_name: str = ""
    """The name in the server's certificate and in SNI; default: the host of the URL."""
    cert_file: str = ""
    """PEM certificate of the clients, if the server requires one."""
    key_file: str = ""
    """PEM key of `cert_file`; default: in the same file."""


class StreamRequest(BaseModel):
    """The request of one client. Each value may contain `{topic}` and `{user}`, the client's number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = "GET"
    path: str = DEFAULT_PATH
    query: tuple[NamedValue, ...] = ()
    """Added to the query in `path`."""
    headers: tuple[NamedValue, ...] = ()
    cookies: tuple[NamedValue, ...] = ()
    body: str = ""

    @property
    def names_topic(self) -> bool:
        """Whether clients of different topics send different requests."""
        values = [self.path, self.body, *(part.value for part in (*self.query, *self.headers, *self.cookies))]
        return any("{topic}" in value for value in values)

    def target(self, origin: Origin, topic: str, user: int) -> str:
        """The path and query of the request line; the topic is percent-encoded."""
        path = origin.prefix + _filled(self.path, quote(topic, safe=""), user)
        more = "&".join(
            f"{quote(name, safe='')}={quote(_filled(value, topic, user), safe='')}" for name, value in self.query
        )
        return f"{path}{'&' if '?' in path else '?'}{more}" if more else path

    def fields(self, topic: str, user: int) -> list[NamedValue]:
        """The headers, including the cookies."""
        found = [NamedValue(name, _filled(value, topic, user)) for name, value in self.headers]
        if self.cookies:
            crumbs = "; ".join(f"{name}={_filled(value, topic, user)}" for name, value in self.cookies)
            found.append(NamedValue("Cookie", crumbs))
        return found

    def content(self, topic: str, user: int) -> bytes:
        """The body; the topic is escaped for a JSON string, without the quotes."""
        return _filled(self.body, orjson.dumps(topic).decode()[1:-1], user).encode()


class StreamEndpoint(BaseModel):
    """A service that streams events: how to request them and what they mean.

    Its addresses are separate: there may be several.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: StreamRequest = StreamRequest()
    tls: TlsSettings = TlsSettings()
    dialect: Dialect = Dialect()
    tokens_file: str = ""
    """A file with bearer tokens, one per line: client n sends the token in line n, and starts again after the last."""
    pause_s: float = 1.0
    """How long a client waits after a complete answer to a POST before it sends the request again."""


def _filled(text: str, topic: str, user: int) -> str:
    return text.replace("{topic}", topic).replace("{user}", str(user))


def check_holes(text: str) -> str:
    """Return the text if it has no `{name}` other than `{topic}` and `{user}`.

    Raises:
        ValueError: there is another name in braces.
    """
    for name in _HOLE.findall(text):
        if name not in _HOLES:
            raise ValueError(f"{{{name}}} is not known; use {{topic}} and {{user}}")
    return text


def check_path(text: str) -> str:
    """Return the path if a request can have it.

    Raises:
        ValueError: it does not begin with a slash, has spaces or characters that must be encoded, or an unknown `{name}`.
    """
    check_holes(text)
    if not text.startswith("/"):
        raise ValueError("a path begins with a slash; give the host with --host")
    if not text.isascii() or not text.isprintable() or " " in text or "#" in text:
        raise ValueError("it has spaces, '#' or characters outside ASCII; percent-encode them, such as %20")
    return text


def parse_header(text: str) -> NamedValue:
    """Parse a header, `Name: value`.

    Raises:
        ValueError: it is not a header, or it follows from other options.
    """
    name, colon, value = text.partition(":")
    value = value.strip()
    if not colon or not _HEADER_NAME.fullmatch(name):
        raise ValueError("give 'Name: value'")
    if name.lower() in _OURS:
        raise ValueError(f"{name} follows from the rest of the request; leave it out")
    if not value.isprintable():
        raise ValueError("its value has control characters, which a header must not have")
    return NamedValue(name, check_holes(value))


def parse_pair(text: str) -> NamedValue:
    """Parse a cookie or a part of a query, `name=value`.

    Raises:
        ValueError: the text has another form.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not text.isprintable():
        raise ValueError("give 'name=value'")
    return NamedValue(name.strip(), check_holes(value))


def parse_cookie(text: str) -> NamedValue:
    """Parse a cookie, `name=value`.

    Raises:
        ValueError: the text has another form.
    """
    pair = parse_pair(text)
    if not _HEADER_NAME.fullmatch(pair.name) or ";" in pair.value:
        raise ValueError("give 'name=value', one cookie for each option")
    return pair


def require_whole(request: StreamRequest, tls: TlsSettings, schemes: Iterable[str]) -> None:
    """Check that the parts go together.

    Raises:
        UsageError: a body without POST, a key without a certificate, or TLS files without https://.
    """
    if request.body and request.method != "POST":
        raise UsageError("--body: a GET has no body; add --method POST")
    require_tls(tls, schemes, "--host or --replicas")


def require_tls(tls: TlsSettings, schemes: Iterable[str], where: str) -> None:
    """Check that TLS settings have a meaning; `where` is what gives the addresses.

    Raises:
        UsageError: there is a key without a certificate, or no address has https://.
    """
    if tls.key_file and not tls.cert_file:
        raise UsageError(f"--client-key {tls.key_file!r}: the certificate is missing; give it with --client-cert")
    if tls != TlsSettings() and "https" not in set(schemes):
        raise UsageError(
            f"--ca-file, --sni and --client-cert need an https:// address; give one with {where}, or leave them out"
        )
