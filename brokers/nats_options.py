"""The connection options of a NATS URL: credentials, inbox prefix, transport."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from brokers.endpoint import Endpoint
from brokers.nats_subjects import SUBJECT_PREFIX, SUBJECT_WORDS
from brokers.options import Option, file, flag, word
from brokers.tls import SERVER_NAME, tls_context
from core.errors import UsageError
from core.paths import first_line

PORT = 4222
TOKEN_FILE = file("token_file", "file whose first line is the token, instead of one in the URL")
CREDS_FILE = file("creds_file", "credentials file: a JWT and the seed of its nkey")
NKEY_FILE = file("nkey_file", "file with the seed of an nkey")
INBOX_PREFIX = word("inbox_prefix", "prefix of reply subjects", SUBJECT_PREFIX, SUBJECT_WORDS, "_INBOX")
DISCOVER = flag(
    "discover", "try servers of the cluster that the URL does not name, if the named ones do not answer", True
)
OPTIONS = (TOKEN_FILE, CREDS_FILE, NKEY_FILE, INBOX_PREFIX, DISCOVER)
SCHEMES = ("", "+tls", "+ws", "+wss")
"""The suffixes of an adapter's schemes: plain, TLS, WebSocket, WebSocket with TLS."""


def is_secure(endpoint: Endpoint) -> bool:
    """Whether the scheme means TLS."""
    return endpoint.scheme.endswith(("+tls", "+wss"))


def ports(*schemes: str) -> dict[str, int]:
    """The default port of each scheme."""
    web = {"ws": 80, "wss": 443}
    return {scheme: web.get(scheme.rpartition("+")[2], PORT) for scheme in schemes}


def server_url(endpoint: Endpoint) -> str:
    """The endpoint's one host in nats-py's format."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    kind = endpoint.scheme.rpartition("+")[2]
    web = kind in ("ws", "wss")
    if endpoint.path and not web:
        raise UsageError(f"{endpoint}: path '{endpoint.path}' has no meaning with {endpoint.scheme}://; leave it out")
    path = f"/{endpoint.path}" if web and endpoint.path else ""
    return f"{kind if web else 'nats'}://{host}:{endpoint.port or PORT}{path}"


def login(endpoint: Endpoint) -> dict[str, Any]:
    """Credentials and transport, as nats-py's options.

    Raises:
        UsageError: a file cannot be read, there are credentials of two kinds, or `server_name` is given with WebSocket.
    """
    found: dict[str, Any] = {"inbox_prefix": endpoint.get(INBOX_PREFIX)}
    if is_secure(endpoint):
        if endpoint.scheme.endswith("+wss") and endpoint.get(SERVER_NAME):
            raise UsageError(
                f"{endpoint}: server_name has no meaning with WebSocket; connect by the certificate's name"
            )
        found["tls"] = tls_context(endpoint)
    files = [option for option in (TOKEN_FILE, CREDS_FILE, NKEY_FILE) if endpoint.get(option)]
    if len(files) + (endpoint.username is not None) > 1:
        names = [option.name for option in files] + ["a user or token in the URL"] * (endpoint.username is not None)
        raise UsageError(f"{endpoint}: {' and '.join(names)}: each identifies this client; leave out all but one")
    if endpoint.username is not None:
        if endpoint.password is None:
            return found | {"token": endpoint.username}
        return found | {"user": endpoint.username, "password": endpoint.password}
    for option in files:
        content = _content(endpoint, option, first_line if option is TOKEN_FILE else _text)
        if option is TOKEN_FILE:
            found["token"] = content
        elif option is NKEY_FILE:
            found["nkeys_seed_str"] = content.strip()
        else:
            found["user_credentials"] = endpoint.get(option)
    return found


def _content(endpoint: Endpoint, option: Option[str], read: Callable[[str], str]) -> str:
    try:
        return read(endpoint.get(option))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        named = f"{option.name}={endpoint.get(option)}"
        raise UsageError(
            f"{endpoint}: {named}: {why}; give a file that contains it and that this user can read"
        ) from None


def _text(path: str) -> str:
    try:
        content = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
    if not content.strip():
        raise ValueError("it is empty")
    return content
