"""One attempt of a client to get a stream from an endpoint: the request's address, the link, and the meaning of the answer."""

from __future__ import annotations

from time import time_ns
from typing import Any
from urllib.parse import urlsplit

from core.endpoint.origin import parse_origin
from core.errors import UsageError
from load.answers import MAX_REDIRECTS, Redirect, RefusalError, Stop, judge, shown
from load.connection_pool import ReplicaAddress
from load.endpoint_access import BodyShape, EndpointAccess, Target, shape_of
from load.http1 import ResponseHead, split_head
from load.links import StreamLink

READ, WRITE = 1, 2  # libev's EV_READ and EV_WRITE


class Exchange:
    """One attempt, from the first socket to the head of the answer that begins a stream."""

    def __init__(
        self, access: EndpointAccess, address: ReplicaAddress, topic: str, user: int, last_event_id: str
    ) -> None:
        self._access = access
        self._topic = topic
        self._user = user
        self._last_event_id = last_event_id
        self.target: Target = access.first_target(address, topic, user)
        self.link: StreamLink
        self._asked = False
        self._asked_ns = 0
        self._head = b""
        self._redirects = 0

    @property
    def posts(self) -> bool:
        """Whether the request is for one answer, which ends."""
        return self._access.endpoint.request.method == "POST"

    def begin(self, sock: Any) -> None:
        """The socket is connected."""
        self.link = self._access.link(sock, self.target.address.origin)
        self._asked, self._head = False, b""

    def advance(self) -> int:
        """Continue until the request is sent: what to wait for before the next call, or 0.

        Raises:
            OSError: the connection is lost.
        """
        if not self._asked and self.link.shake():
            self.link.queue(self._access.request(self.target, self._topic, self._user, self._last_event_id))
            self._asked, self._asked_ns = True, time_ns()
        if not self.link.flush():
            return READ | WRITE
        return 0 if self._asked else READ

    def answer(self) -> tuple[ResponseHead, bytes] | None:
        """Return the head of the answer and the bytes after it; None while bytes are missing.

        Raises:
            OSError: the connection is lost. Http1Error: it is not an HTTP answer.
        """
        data = self.link.receive()
        if data is None:
            return None
        self._head += data
        while (split := split_head(self._head, complete=not data)) is not None and 100 <= split[0].status < 200:
            self._head = split[1]  # such as 103, Early Hints
        if split is not None and (date := split[0].headers.get("date")):
            self._access.clock.note(date, self._asked_ns, time_ns())
        return split

    def judge(self, head: ResponseHead) -> Redirect | Stop | BodyShape:
        """Return what the answer means.

        Raises:
            Http1Error: no stream follows; a RefusalError if the server refused.
        """
        outcome = judge(head, self.target.url, time_ns() / 1e9)
        if outcome is None:
            return shape_of(head)
        if isinstance(outcome, Redirect):
            self._redirects += 1
            if self._redirects > MAX_REDIRECTS:
                raise RefusalError(f"more than {MAX_REDIRECTS} redirects, the last to {shown(outcome.url)}")
        return outcome

    def follow(self, redirect: Redirect) -> ReplicaAddress:
        """The address to connect to next; it may wait for a name server.

        Raises:
            RefusalError: the redirect leads to no http:// or https:// URL, or to a name that is unknown.
        """
        parts = urlsplit(redirect.url)
        if parts.scheme not in ("http", "https"):
            raise RefusalError(f"a redirect to {shown(redirect.url)}, which is not an http:// or https:// URL")
        try:
            origin = parse_origin(f"{parts.scheme}://{parts.netloc}")
            address = self._access.address_of(origin)
        except UsageError as error:
            raise RefusalError(f"a redirect to {shown(redirect.url)}: {error}") from None
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        first = self.target.address.origin
        same = (first.scheme, first.host, first.port) == (origin.scheme, origin.host, origin.port)
        self._access.times.redirects += 1
        as_asked = self.target.as_asked and redirect.keeps_method
        self.target = Target(address, path, as_asked, self.target.trusted and same)
        return address
