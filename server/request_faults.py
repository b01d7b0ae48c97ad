"""Describes what is wrong with an unreadable request, and answers it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import orjson

_HOST = re.compile(rb"[A-Za-z0-9.\-_~%!$&'()*+,;=:\[\]]*")
_TLS_HANDSHAKE = b"\x16\x03"
_HTTP_2 = b"PRI * HTTP/2"
_HINTS = {
    "Pause on PRI/Upgrade": "this is HTTP/2; use HTTP/1.1 here, or a proxy that accepts both",
    "Invalid method encountered": "the method is not one of HTTP's; a request begins like GET /sse HTTP/1.1",
    "Invalid HTTP version": "the HTTP version is not supported; send HTTP/1.1",
    "User callback error": "the URL cannot be read, or the method is for proxies; a request begins like GET /sse HTTP/1.1",
    "Invalid char in url path": "the URL has a character that must be percent-encoded",
}


class RequestError(Exception):
    """The request breaks a rule of HTTP that the parser does not know."""


def require_host(version: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """RFC 9112, section 3.2: one Host field in HTTP/1.1, never two, and nothing but a host in it.

    Raises:
        RequestError: the message is for the client.
    """
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) == 1 and _HOST.fullmatch(hosts[0]):
        return
    if len(hosts) > 1:
        raise RequestError("the request has several Host fields; send one")
    if hosts:
        raise RequestError(f"Host is {hosts[0][:80].decode('latin-1')!r}, which is not a host; send HOST or HOST:PORT")
    if version != "1.0":
        raise RequestError("the request has no Host field, which HTTP/1.1 requires")


def explain(error: BaseException | None, data: bytes) -> str:
    """The parser's error in `data`, and what to do about it."""
    if isinstance(error, Exception) and isinstance(error.__context__, RequestError):
        return str(error.__context__)
    if data.startswith(_TLS_HANDSHAKE):
        return "this is TLS; send plain http://, or put a proxy that ends TLS in front"
    found = str(error or "not HTTP")
    if data.startswith(_HTTP_2):
        return _HINTS["Pause on PRI/Upgrade"]
    return _HINTS.get(found, f"the request cannot be read: {found}")


def refusal(status: bytes, words: str) -> bytes:
    """A complete response that says so and closes the connection."""
    body = orjson.dumps({"error": words})
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return head % (status, len(body)) + body
