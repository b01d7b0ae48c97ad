"""`SSEUser`, for your own locustfiles: a Locust user that listens to event streams while its tasks do something else.

    from fanbench_locust import SSEUser      # `from load.users import SSEUser` in fanbench's own checkout

docs/locustfiles.md explains it; examples/shop is a complete locustfile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import gevent
import locust.stats
from gevent.pool import Group
from locust import User

from core.endpoint.request import NamedValue, StreamEndpoint, StreamRequest, TlsSettings, check_path, parse_header
from core.errors import UsageError
from core.sse import SSEEvent
from core.stamp import StampError, decode
from load.listening import ListeningDesk, desk_of
from load.user_stream import UserStream

_A_DAY_S = 86_400.0
_WOULD_BLOCK = "Impossible to call blocking function in the event loop callback"


def _stay(_: User) -> None:
    """The task of a user that only listens."""
    gevent.sleep(_A_DAY_S)


def _path(text: str) -> str:
    try:
        return check_path(text)
    except ValueError as error:
        raise UsageError(f"path {text!r}: {error}") from None


def _fields(headers: Mapping[str, str]) -> tuple[NamedValue, ...]:
    try:
        return tuple(parse_header(f"{name}: {value}") for name, value in headers.items())
    except ValueError as error:
        raise UsageError(f"headers {', '.join(headers)}: {error}") from None


def _bucket(milliseconds: float) -> float:
    return locust.stats.bucket_response_time(milliseconds)  # when it is called: a locustfile may replace it


class SSEUser(User):
    """A user of a service that streams events: it listens to any number of streams while its tasks run.

    With `path` it listens to that stream from its start. `listen` opens more, from `on_start` or a task. Lost
    streams reconnect automatically with `Last-Event-ID`, and all end with the user. A user without tasks stays and
    listens. Combine it with `HttpUser` or `FastHttpUser` for a user that listens and clicks.

    In Locust's table, `NAME connect` has the attempts to connect, `NAME stream` the lost streams, and `NAME` the
    deliveries. All are counted. Locust's `request` event is fired for each, but only for one in `tell_every`
    deliveries.
    """

    abstract = True
    path: str = ""
    """The stream to listen to from the start, such as `/events?room=7`; '' waits for a call of `listen`."""
    headers: Mapping[str, str] = {}
    """Sent with each request for a stream, such as `{"Authorization": "Bearer …"}`.

    `on_start` may set it for one user.
    """
    tls: TlsSettings = TlsSettings()
    """TLS for `https://`: trusted authorities and a client certificate; by default the system's and none."""
    tell_every: ClassVar[int] = 100
    """Fires Locust's `request` event for one in this many deliveries, because the event costs more than the delivery.

    0: never.
    """

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.streams: list[UserStream] = []
        """The open streams."""
        self._reactions = Group()
        self._linked = False

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        own = [one for one in cls.tasks if one is not _stay]
        cls.tasks = own or [_stay]

    def on_start(self) -> None:
        """Listen to `path`. A user that must log in first does so and then calls `super().on_start()`."""
        if self.path:
            self.listen(self.path)

    def on_event(self, event: SSEEvent, stream: UserStream) -> None:
        """Called for each event with `event.event`, `event.data` and `event.id`, unless `listen` got another function.

        The loop that reads all streams calls it, so it must not block: neither sleep nor send a request. `react` starts
        a function that may wait. Locust's list of exceptions shows an exception, and the stream continues.
        """

    @classmethod
    def sent_ns(cls, event: SSEEvent) -> int | None:
        """When an event was sent, in nanoseconds since 1970 by this machine's clock; None if the event does not say.

        It determines the response time of deliveries. Streams of the same name that receive the same bytes share the
        result: it is called for the first of them and not for each client. By default it returns the due
        instant of events from fanbench's generator.
        """
        try:
            return decode(event.data.encode()).due_ns
        except StampError:
            return None

    def listen(
        self,
        path: str,
        *,
        name: str = "",
        headers: Mapping[str, str] | None = None,
        method: Literal["GET", "POST"] = "GET",
        body: str = "",
        on_event: Callable[[SSEEvent, UserStream], None] | None = None,
    ) -> UserStream:
        """Begin to listen to a stream of `host`, and return the stream at once; `stream.wait_connected()` waits for it.

        `name` is its name in Locust's table: by default the path without its query. `headers` are sent in addition to
        the user's. A POST has a `body`; a second after each complete answer it is sent again, until the stream is
        closed.

        Raises:
            UsageError: the host, the path, a header or a TLS file is not usable.
        """
        host = self.host or self.environment.host
        if not host:
            raise UsageError(
                f"{type(self).__name__} has no host; give --host http://HOST:PORT or set `host` in the class"
            )
        request = StreamRequest(
            method=method, path=_path(path), headers=_fields({**self.headers, **(headers or {})}), body=body
        )
        stream = UserStream(name or path.partition("?")[0], on_event or self.on_event, self._failed, self._expected)
        endpoint = StreamEndpoint(request=request, tls=self.tls)
        self._desk.open(stream, type(self), host, endpoint, self.sent_ns, self.tell_every, self.context)
        self.streams.append(stream)
        if not self._linked and self.greenlet is not None:
            self._linked = True
            self.greenlet.link(lambda _: self._leave())
        return stream

    def hang_up(self, stream: UserStream) -> None:
        """Close one of the user's streams."""
        self._desk.close(stream)
        self.streams.remove(stream)

    def react(self, function: Callable[..., Any], *args: Any) -> None:
        """Run a function that may wait in a separate greenlet, from `on_event`; it ends no later than the user."""
        self._reactions.spawn(self._run, function, args)

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            function(*args)
        except Exception as error:  # the user's own code may raise anything
            self._failed(error)

    @property
    def _desk(self) -> ListeningDesk:
        return desk_of(self.environment, _bucket)

    def _expected(self, name: str, took_ns: int, failure: str) -> None:
        self._desk.tell(name, took_ns / 1e6, TimeoutError(failure) if failure else None, self.context)

    def _failed(self, error: Exception) -> None:
        if _WOULD_BLOCK in str(error):
            error.add_note("on_event must not block; run a function that waits with self.react(function)")
        self.environment.events.user_error.fire(user_instance=self, exception=error, tb=error.__traceback__)

    def _leave(self) -> None:
        for stream in self.streams:
            self._desk.close(stream)
        self.streams.clear()
        self._reactions.kill(block=False)
