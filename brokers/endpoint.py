"""Where a broker is and what is asked of it: a URL, taken apart, that never shows its password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, unquote_plus, urlsplit

from core.errors import FanbenchError, UsageError
from core.paths import absolute_path

CONNECT_TIMEOUT_S = 5.0
_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")
_START = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*://)?")
_FILE_OPTION = re.compile(r"(?<=[?&])(\w+_file)=([^&#]+)")
_END_OF_ADDRESS = re.compile(r"[/?#]")
_ENCODE = "in user and password write / as %2F, # as %23, ? as %3F, @ as %40"


class BrokerError(FanbenchError):
    """A broker did not do what was asked: which broker, the action, the cause and the next step, in one line.

    It is transient, for a broker comes back, unless it is said not to be: a wrong password stays wrong.
    """

    def __init__(self, endpoint: Endpoint, action: str, cause: str, next_step: str, *, transient: bool = True) -> None:
        self.endpoint = endpoint
        self.action = action
        self.cause = endpoint.hide_secrets(cause)
        self.transient = transient
        super().__init__(f"{endpoint}: cannot {action}: {self.cause}; {next_step}")


def refuse_history(endpoint: Endpoint, since_ns: int | None) -> None:
    """For adapters without replay.

    Raises:
        BrokerError: history is asked for.
    """
    if since_ns is not None:
        step = "use one with replay, see docs/brokers.md"
        raise BrokerError(endpoint, "replay", "this adapter keeps no history", step, transient=False)


def redact(url: str) -> str:
    """The URL with its password replaced by ***, or with all before the last @ hidden where it may be a part of it."""
    start, user_and_password, at, place = _taken_apart(url)
    user, colon, _ = user_and_password.partition(":")
    if (_END_OF_ADDRESS.search(user_and_password) and start) or (colon and at and not start):
        return f"{start}***@{place}"
    return f"{start}{user}:***@{place}" if colon and at else url


def with_absolute_files(url: str) -> str:
    """The URL with each option that names a file by a relative path, such as `ca_file`, made absolute."""

    def absolute(option: re.Match[str]) -> str:
        path = Path(unquote_plus(option[2]))
        return option[0] if path.is_absolute() else f"{option[1]}={quote(str(absolute_path(path)))}"

    return _FILE_OPTION.sub(absolute, url)


def _taken_apart(url: str) -> tuple[str, str, str, str]:
    """Scheme, what is before the last @, the @, and the rest: `urlsplit` ends the password at its first / # or ?."""
    start = _START.match(url)
    assert start is not None
    return start[0], *url[start.end() :].rpartition("@")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A broker's URL: `str()` and `repr()` hide the password."""

    url: str = field(repr=False)
    scheme: str
    host: str
    port: int | None
    username: str | None
    password: str | None = field(repr=False)
    path: str
    """Without its leading slash: a database number, a virtual host."""
    options: dict[str, str]
    delivery: str
    """The promise that is asked for: at-most-once or at-least-once."""
    timeout_s: float = CONNECT_TIMEOUT_S
    """How long connecting, subscribing or a confirmation may take before it is an error."""

    def __str__(self) -> str:
        return redact(self.url)

    def hide_secrets(self, text: str) -> str:
        """`text` (what a library said) without this endpoint's password."""
        if self.password:
            text = text.replace(self.password, "***")
        return _USERINFO.sub("***@", text)

    def option(self, name: str, default: str) -> str:
        """The URL option `?name=…`, or the default."""
        return self.options.get(name, default)

    def whole_number(self, name: str, default: int) -> int:
        """The URL option `?name=…` as a whole number from 0, or the default.

        Raises:
            UsageError: it is anything else.
        """
        text = self.options.get(name, str(default))
        if not text.isascii() or not text.isdigit():
            raise UsageError(
                f"{self}: option {name}={text!r} is not a whole number; give for instance {name}={default}"
            )
        return int(text)


def parse_url(url: str, delivery: str) -> Endpoint:
    """Take a broker URL apart.

    Raises:
        UsageError: not a URL, its port is not a number from 1 to 65535, or its password is not percent-encoded.
    """
    if _END_OF_ADDRESS.search(_taken_apart(url)[1]):
        raise UsageError(f"broker URL {redact(url)}: it has an @ behind a / # or ?; {_ENCODE}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # whose text may hold the password
        why = f"its host or port is not one; write scheme://[user:password@]host[:port][/path]; {_ENCODE}"
        raise UsageError(f"broker URL {redact(url)}: {why}") from None
    if not parts.scheme or "://" not in url:
        raise UsageError(f"broker URL {redact(url)!r} has no scheme; write for instance redis://127.0.0.1:6379")
    return Endpoint(
        url=url,
        scheme=parts.scheme,
        host=parts.hostname or "127.0.0.1",
        port=port,
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        path=unquote(parts.path.removeprefix("/")),
        options=dict(parse_qsl(parts.query, keep_blank_values=True)),
        delivery=delivery,
    )
