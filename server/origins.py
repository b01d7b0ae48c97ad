"""The origins of FANBENCH_CORS_ORIGINS, in the form that browsers send; other forms are refused."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

ANY = "*"
REQUEST_HEADERS = ("Authorization", "Cache-Control", "Content-Type", "Last-Event-ID", "Pragma", "X-Requested-With")
"""Headers of clients that read streams with fetch; a browser preflights all but the simplest."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_ALLOWED = re.compile(r"[a-z0-9.\-_:\[\]]+")


def read_origins(text: str) -> list[str]:
    """The comma-separated origins; `*` stands for every one.

    Raises:
        ValueError: one of them can never match; the message says how to write it.
    """
    origins = [origin.strip() for origin in text.split(",") if origin.strip()]
    for origin in origins:
        if origin != ANY:
            _require_origin(origin)
    return origins


def _require_origin(origin: str) -> None:
    """Browsers send scheme, lower-case host, and the port unless it is the scheme's default (RFC 6454, section 6.1)."""
    try:
        parts = urlsplit(origin)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise ValueError(f"{origin!r}: {error}; write it like https://example.org") from error
    if not parts.scheme or not host:
        raise ValueError(
            f"{origin!r} has no scheme or no host, so no browser sends it; write it like https://example.org"
        )
    shown = f"[{host}]" if ":" in host else host
    should = f"{parts.scheme.lower()}://{shown}"
    if port is not None and port != _DEFAULT_PORTS.get(parts.scheme.lower()):
        should += f":{port}"
    if not _ALLOWED.fullmatch(shown):
        raise ValueError(
            f"{origin!r}: browsers send a host of ASCII letters (xn--… for others) and no wildcard; name each origin, or *"
        )
    if origin != should:
        raise ValueError(f"{origin!r} is never what a browser sends; write {should}")


def is_same_site(origin: str, host: str | None) -> bool:
    """Whether the requested host served a page of that origin."""
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False
