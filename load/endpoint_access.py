"""What the clients of one endpoint share in a process: TLS, tokens, addresses of redirects, and the encoding of requests."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from core.endpoint.origin import Origin
from core.endpoint.request import NamedValue, StreamEndpoint
from core.endpoint.tls import tls_context
from core.errors import UsageError
from core.sse import SSEParser
from core.token import check_token
from load.addresses import resolve
from load.bodies import CompressedBody, SizedBody, inflater_of, length_of
from load.clock_bound import ClockBound
from load.connection_pool import ReplicaAddress
from load.http1 import ChunkedBody, PlainBody, ResponseHead
from load.links import PlainLink, StreamLink, TlsLink
from load.stream_times import StreamTimes
from load.transport import CHUNKED, PLAIN, WireFormat

MAX_TOKENS_BYTES = 64 * 1024 * 1024


class Target(NamedTuple):
    """Where a request goes. `path` includes the query; `as_asked` is false after a redirect that turned it into a GET without a body."""

    address: ReplicaAddress
    path: str
    as_asked: bool = True
    trusted: bool = True
    """Whether this is the user's host: other hosts get no headers, cookies or token."""

    @property
    def url(self) -> str:
        """The whole URL."""
        origin = self.address.origin
        return f"{origin.scheme}://{origin.authority}{self.path}"


class EndpointAccess:
    """The access of all clients in one test to the endpoint.

    Raises:
        UsageError: a file that the endpoint names cannot be used.
    """

    def __init__(self, endpoint: StreamEndpoint, token: str, measure_from_ns: int) -> None:
        self.endpoint = endpoint
        self.times = StreamTimes(measure_from_ns)
        self.clock = ClockBound()
        self._token = token
        self._tokens = read_tokens(Path(endpoint.tokens_file)) if endpoint.tokens_file else []
        self._context: ssl.SSLContext | None = None
        self._found: dict[Origin, ReplicaAddress] = {}
        self._connections = 0

    def require_tls(self) -> None:
        """Read the TLS files.

        Raises:
            UsageError: a file cannot be used.
        """
        self._context = tls_context(self.endpoint.tls)

    def link(self, sock: Any, origin: Origin) -> StreamLink:
        """Return the connection on that socket."""
        if origin.scheme == "http":
            return PlainLink(sock)
        if self._context is None:  # a redirect led to https://
            self.require_tls()
        assert self._context is not None
        return TlsLink(sock, self._context, self.endpoint.tls.server_name or origin.host)

    def first_target(self, address: ReplicaAddress, topic: str, user: int) -> Target:
        """Return where a client sends its first request."""
        return Target(address, self.endpoint.request.target(address.origin, topic, user))

    def address_of(self, origin: Origin) -> ReplicaAddress:
        """Return the address to which a redirect leads; may wait for a name server.

        Raises:
            UsageError: the name is unknown.
        """
        found = self._found.get(origin)
        if found is None:
            found = self._found[origin] = resolve([origin])[0]
        return found

    def next_connection(self) -> str:
        """Return a name for a connection with its own numbers; '' if all clients share them."""
        if self.endpoint.dialect.shared:
            return ""
        self._connections += 1
        return f"{os.getpid()}.{self._connections}"

    def request(self, target: Target, topic: str, user: int, last_event_id: str) -> bytes:
        """Return the bytes of the request for the stream."""
        asked = self.endpoint.request
        given = asked.fields(topic, user) if target.trusted else []
        method = asked.method if target.as_asked else "GET"
        body = asked.content(topic, user) if method == "POST" else b""
        usual = [NamedValue("Accept", "text/event-stream"), NamedValue("Cache-Control", "no-cache")]
        token = self._tokens[user % len(self._tokens)] if self._tokens else self._token
        if token and target.trusted:
            usual.append(NamedValue("Authorization", f"Bearer {token}"))
        if method == "POST":
            usual.append(NamedValue("Content-Type", "application/json"))
        named = {name.lower() for name, _ in given}
        fields = [NamedValue("Host", target.address.origin.authority)]
        fields += [field for field in usual if field.name.lower() not in named] + given
        if method == "POST":
            fields.append(NamedValue("Content-Length", str(len(body))))
        elif last_event_id:
            fields.append(NamedValue("Last-Event-ID", last_event_id))
        lines = [f"{method} {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def open_access(
    endpoint: StreamEndpoint, token: str, measure_from_ns: int, origins: Iterable[Origin]
) -> EndpointAccess:
    """The access to an endpoint at those addresses, with all files read.

    Raises:
        UsageError: a file that the endpoint names cannot be used.
    """
    access = EndpointAccess(endpoint, token, measure_from_ns)
    if any(origin.scheme == "https" for origin in origins):
        access.require_tls()
    return access


def read_tokens(path: Path) -> list[str]:
    """Read the tokens in a file, one per line; skip empty lines.

    Raises:
        UsageError: the file cannot be read or has no token, or a line is not a valid token. The message shows no token.
    """
    try:
        if path.stat().st_size > MAX_TOKENS_BYTES:
            raise UsageError(
                f"--tokens {str(path)!r}: it has over {MAX_TOKENS_BYTES >> 20} MB; give one token per line"
            )
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # some editors begin a file with a mark
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UsageError(
            f"--tokens {str(path)!r}: {why}; give a file with one token per line, on the host of each process with clients"
        ) from None
    tokens = []
    for number, line in enumerate(lines, 1):
        try:
            tokens += [check_token(line.strip())] if line.strip() else []
        except ValueError as error:
            raise UsageError(f"--tokens {str(path)!r}: line {number}: {error}") from None
    if not tokens:
        raise UsageError(f"--tokens {str(path)!r}: it is empty; put one token into each line")
    return tokens


class BodyShape(NamedTuple):
    """How to read an answer's body, and whether clients may share its parsed events."""

    wire_format: WireFormat
    shared: bool
    ends_with_connection: bool


def shape_of(head: ResponseHead) -> BodyShape:
    """Return how to read the body after that head.

    Raises:
        Http1Error: it is not an event stream, or its compression is unknown.
    """
    head.require_event_stream()
    size = length_of(head)
    inflater = inflater_of(head)
    bare = not head.chunked and size is None
    if inflater is None and size is None:
        return BodyShape(CHUNKED if head.chunked else PLAIN, shared=True, ends_with_connection=bare)
    return BodyShape(_unshared(head.chunked, size, inflater), shared=False, ends_with_connection=bare)


def _unshared(chunked: bool, size: int | None, inflater: Any) -> WireFormat:
    framed: Any = ChunkedBody if chunked else PlainBody if size is None else partial(SizedBody, size)
    framing: Any = framed if inflater is None else lambda: CompressedBody(framed(), inflater())
    return WireFormat(framing, SSEParser, SSEParser)
