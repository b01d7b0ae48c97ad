"""A server's base URL and its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from core.errors import UsageError

Scheme = Literal["http", "https"]
DEFAULT_PORTS: dict[Scheme, int] = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """A server's address; `prefix` is the path before every other path, without a slash at its end."""

    url: str
    scheme: Scheme
    host: str
    port: int
    prefix: str

    @property
    def authority(self) -> str:
        """The value of the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_origin(url: str) -> Origin:
    """Parse a base URL, such as `http://127.0.0.1:8000` or `https://events.example.org`.

    Raises:
        UsageError: it is not an http:// or https:// URL with a host, or it has a user name, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"server {url!r}: {error}; give it as http://HOST:PORT") from error
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise UsageError(f"server {url!r} is not an http:// or https:// URL with a host; give it as http://HOST:PORT")
    if parts.username is not None:
        raise UsageError(
            f"server {parts.hostname!r}: the URL has a user name; give credentials with --header or --token"
        )
    if parts.query or parts.fragment:
        raise UsageError(f"server {url!r}: the URL has a query; give it with --path or --query")
    scheme: Scheme = "https" if parts.scheme == "https" else "http"
    return Origin(url, scheme, parts.hostname, port or DEFAULT_PORTS[scheme], parts.path.rstrip("/"))
