"""A broker's address and options: a parsed URL that never shows its secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, unquote, unquote_plus

from brokers.options import Option, file, text, whole_number
from brokers.redaction import hide, redact, take_apart
from core.errors import UsageError
from core.paths import absolute_path, first_line

__all__ = [
    "EVERY_URL",
    "MAX_TOPIC_BYTES",
    "PASSWORD_FILE",
    "RUN_NAME",
    "Address",
    "Endpoint",
    "parse_url",
    "redact",
    "with_absolute_files",
]

CONNECT_TIMEOUT_S = 5.0
OWN_NAME = "fanbench"
_ENCODE = "in user and password write / as %2F, # as %23, ? as %3F, @ as %40"
_HOST_PORT = re.compile(r"(?P<host>\[[^\]]+\]|[^:\[\]]*)(?::(?P<port>\d{1,5}))?")
_FILE_OPTION = re.compile(r"(?<=[?&])(\w+_file)=([^&#]+)")
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
T = TypeVar("T")


def _read_run_name(value: str) -> str:
    if not _RUN_NAME.fullmatch(value):
        raise ValueError("is not 1 to 64 letters, digits, - and _")
    return value


PASSWORD_FILE = file("password_file", "file whose first line is the password, instead of one in the URL")
RUN_NAME: Option[str] = replace(
    text("run_name", "prefix of the names of everything that is created at the broker", "", OWN_NAME),
    read=_read_run_name,
)
MAX_TOPIC_BYTES = whole_number(
    "max_topic_bytes", "longest topic, for a broker that allows less than its protocol", 0, 1, "the protocol's"
)
EVERY_URL: tuple[Option[Any], ...] = (PASSWORD_FILE, RUN_NAME, MAX_TOPIC_BYTES)
"""Options of every broker URL, whatever its adapter declares."""


@dataclass(frozen=True, slots=True)
class Address:
    """One host of a URL; for `unix` schemes, a socket's path without a port."""

    host: str
    port: int | None = None

    @property
    def is_path(self) -> bool:
        """Whether it is a Unix socket's path."""
        return self.host.startswith("/")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A broker's URL: `str()` and `repr()` hide its secrets."""

    url: str = field(repr=False)
    scheme: str
    hosts: tuple[Address, ...]
    """At least one, in the URL's order; each dial gets an endpoint with one of them (see `at`)."""
    username: str | None = field(repr=False)  # with NATS it may be a token
    password: str | None = field(repr=False)
    path: str
    """Without its leading slash: a database number, a virtual host."""
    options: dict[str, str] = field(repr=False)
    delivery: str
    """The promise that is requested: at-most-once or at-least-once."""
    timeout_s: float = CONNECT_TIMEOUT_S
    """Deadline for connecting, subscribing and confirmations."""
    of_url: tuple[Address, ...] = ()
    """Every host of the URL, if `hosts` is the one to dial; empty if `hosts` has them all."""

    def __str__(self) -> str:
        return redact(self.url)

    @property
    def host(self) -> str:
        """The host to connect to, or the path of a Unix socket; the first if there are several."""
        return self.hosts[0].host

    @property
    def port(self) -> int | None:
        """The port to connect to: the URL's, or the adapter's default for the scheme."""
        return self.hosts[0].port

    def at(self, address: Address) -> Endpoint:
        """The same endpoint with one host, for one dial."""
        return replace(self, hosts=(address,), of_url=self.every_host)

    @property
    def every_host(self) -> tuple[Address, ...]:
        """Every host of the URL, in its order, even if this is the endpoint of one dial."""
        return self.of_url or self.hosts

    @property
    def place(self) -> str:
        """Scheme, hosts and path as written, which identify a broker, without user, secrets and options."""
        start, _, _, rest = take_apart(self.url)
        return start + rest.partition("?")[0].rstrip("/")

    @property
    def prefix(self) -> str:
        """The prefix of every name that an adapter creates at the broker."""
        return self.get(RUN_NAME) or OWN_NAME

    @property
    def secrets(self) -> set[str]:
        """The secrets that must not appear in any text."""
        token = self.username if self.scheme.startswith("nats") and self.password is None else None
        found = {self.password or "", token or ""}
        return found - {self.username or ""} | {token or ""}  # a password that equals the user's name is not a secret

    def hide_secrets(self, text: str) -> str:
        """Return `text`, such as a library's words, without this endpoint's secrets."""
        return hide(text, self.secrets)

    def get(self, option: Option[T]) -> T:
        """The option's value in this URL, or its default.

        Raises:
            UsageError: the value cannot be used.
        """
        given = self.options.get(option.name)
        if given is None:
            return option.default
        try:
            return option.read(given)
        except ValueError as error:
            example = option.default_text or option.kind
            raise UsageError(
                f"{self}: option {option.name}={given!r} {error}; give {option.kind}, for instance {example}"
            ) from None


def parse_url(url: str, delivery: str, default_port: int | None = None) -> Endpoint:
    """Take a broker URL apart: `scheme://[user[:password]@]host[:port][,host[:port]…][/path][?option=value&…]`.

    If the scheme is `unix` or ends with it, the URL has a socket's path instead of hosts and path.

    Raises:
        UsageError: it is not a URL, a port is not a number from 1 to 65535, an option is repeated, or a character is
        not percent-encoded.
    """
    start, userinfo, at, rest = parts = take_apart(url)
    if parts.odd:
        raise UsageError(f"broker URL {redact(url)}: it has an @ after a / # or ?; {_ENCODE}")
    if not start:
        raise UsageError(f"broker URL {redact(url)!r} has no scheme; write for instance redis://127.0.0.1:6379")
    if "#" in rest:
        raise UsageError(f"broker URL {redact(url)}: it has a #; write it as %23")
    scheme = start.removesuffix("://").lower()
    address, _, query = rest.partition("?")
    hosts, slash, path = address.partition("/")
    user, colon, password = userinfo.partition(":")
    is_path = scheme.rpartition("+")[2] == "unix"
    if is_path and (hosts or not path):
        raise UsageError(f"broker URL {redact(url)}: it names no socket; write {scheme}:///path/of/the.sock")
    return Endpoint(
        url=url,
        scheme=scheme,
        hosts=(Address(unquote(slash + path)),) if is_path else _addresses(url, hosts, default_port),
        username=unquote(user) if at else None,
        password=unquote(password) if colon else None,
        path="" if is_path else unquote(path),
        options=_options(url, query),
        delivery=delivery,
    )


def _addresses(url: str, hosts: str, default_port: int | None) -> tuple[Address, ...]:
    found = []
    for word in hosts.split(","):
        match = _HOST_PORT.fullmatch(word)
        port = None if match is None or match["port"] is None else int(match["port"])
        if match is None or (not match["host"] and "," in hosts) or (port is not None and not 0 < port < 65_536):
            why = "write scheme://[user:password@]host[:port][,host[:port]…][/path]"
            raise UsageError(f"broker URL {redact(url)}: a host or port is invalid; {why}; {_ENCODE}")
        host = unquote(match["host"]).strip("[]").lower() or "127.0.0.1"
        found.append(Address(host, port or default_port))
    return tuple(found)


def _options(url: str, query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in found:
            raise UsageError(f"broker URL {redact(url)}: option '{name}' is given twice; leave one out")
        found[name] = value
    return found


def with_absolute_files(url: str) -> str:
    """The URL with the relative paths of file options, such as `ca_file`, made absolute."""

    def absolute(option: re.Match[str]) -> str:
        path = Path(unquote_plus(option[2]))
        return option[0] if path.is_absolute() else f"{option[1]}={quote(str(absolute_path(path)))}"

    return _FILE_OPTION.sub(absolute, url)


def with_password(endpoint: Endpoint, password_file: Path | None = None) -> Endpoint:
    """Return the endpoint with the password from the file that `?password_file=` names, otherwise from the setting's file.

    Raises:
        UsageError: the file cannot be read or is empty, or the URL has a password as well.
    """
    path = endpoint.get(PASSWORD_FILE) or password_file
    if not path:
        return endpoint
    if endpoint.password is not None:
        raise UsageError(f"{endpoint}: it has a password, and password_file={path} names another; leave one out")
    try:
        return replace(endpoint, password=first_line(path))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"{endpoint}: password_file={path}: {why}; give a file with the password in its first line"
        ) from None
