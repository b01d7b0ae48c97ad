"""Turns the suite's options into the endpoint that they describe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from core.endpoint.dialect import Dialect, load_dialect
from core.endpoint.origin import Origin
from core.endpoint.request import (
    DEFAULT_PATH,
    StreamEndpoint,
    StreamRequest,
    TlsSettings,
    check_path,
    parse_cookie,
    parse_header,
    parse_pair,
    require_whole,
)
from core.errors import UsageError
from core.paths import absolute_path, read_small_text
from core.resources import resource_folder
from load.settings import SECRET, LoadSettings

MAX_BODY_BYTES = 1_048_576
_OPTIONS = ("path", "query", "header", "cookie", "method", "body", "pause", "tokens", "dialect", "ca_file", "sni", "client_cert", "client_key")  # fmt: skip

T = TypeVar("T")


def endpoint_of(settings: LoadSettings, origins: Sequence[Origin], *, several: bool) -> StreamEndpoint | None:
    """Return the endpoint that the options describe; None if none is given and all origins are http://.

    `several` says whether clients are in several processes.

    Raises:
        UsageError: an option cannot be used, or does not go with another.
    """
    fields = LoadSettings.model_fields
    given = [name for name in _OPTIONS if getattr(settings, name) != fields[name].default]
    if not given and all(origin.scheme == "http" for origin in origins):
        return None
    for name in ("wait", "sessions"):
        if getattr(settings, name):
            raise UsageError(f"--{name} works only with fanbench's replicas; leave it out with {_named(given)}")
    _require_one_credential(settings)
    request = StreamRequest(
        method=settings.method,
        path=_checked("path", settings.path or DEFAULT_PATH, check_path),
        query=tuple(_checked("query", text, parse_pair) for text in settings.query),
        headers=tuple(_checked("header", text, parse_header) for text in settings.header),
        cookies=tuple(_checked("cookie", text, parse_cookie) for text in settings.cookie),
        body=_body(settings.body),
    )
    tls = TlsSettings(
        ca_file=settings.ca_file,
        server_name=settings.sni,
        cert_file=settings.client_cert,
        key_file=settings.client_key,
    )
    require_whole(request, tls, [origin.scheme for origin in origins])
    dialect = load_dialect(settings.dialect, resource_folder("dialects")) if settings.dialect else Dialect()
    if several and dialect.id and not dialect.numbered:
        raise UsageError(
            f"--dialect {settings.dialect!r} identifies events only by id = {dialect.id!r}, and several processes would number "
            "them differently; run Locust in one process, or give seq"
        )
    return StreamEndpoint(
        request=request, tls=tls, dialect=dialect, tokens_file=settings.tokens, pause_s=settings.pause
    )


def _require_one_credential(settings: LoadSettings) -> None:
    """Raise UsageError if two options set the same request header: one would be silently ignored."""
    headers = {text.partition(":")[0].strip().lower() for text in settings.header}
    given = [name for name, value in (("--token", settings.token), ("--tokens", settings.tokens)) if value]
    given += ["--header 'Authorization: …'"] if "authorization" in headers else []
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]}: both give the Authorization header; leave one of them out")
    if settings.cookie and "cookie" in headers:
        raise UsageError("--cookie and --header 'Cookie: …': both give the Cookie header; leave one of them out")


def _named(given: Sequence[str]) -> str:
    return f"--{given[0].replace('_', '-')}" if given else "https://"


def _checked(name: str, text: str, check: Callable[[str], T]) -> T:
    try:
        return check(text)
    except ValueError as error:
        raise UsageError(f"--{name} {'***' if name in SECRET else repr(text)}: {error}") from None


def _body(text: str) -> str:
    if not text.startswith("@"):
        return text
    path: Path = absolute_path(text[1:])
    try:
        return read_small_text(path, MAX_BODY_BYTES)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--body @{path}: {getattr(error, 'strerror', None) or error}; give a file with JSON text"
        ) from error
