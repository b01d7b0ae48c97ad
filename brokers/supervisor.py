"""Keeps one connection up: whatever an adapter or its library raises or cancels, only the owner's `close` ends it."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from brokers.backoff import delays_s
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind, standard_kind
from brokers.link import Link
from brokers.tls import is_secure
from brokers.waiting import finish, quietly, reason
from core.errors import FanbenchError

STEADY_S = 2.0
"""A connection that lasted this long was good: after it, the delays start from the first."""
LEAST_DIAL_S = 1.0
"""The minimum time for each of several hosts, if the deadline allows it."""
_TELL_S = 10.0

_log = logging.getLogger("fanbench.brokers")
C = TypeVar("C")


class ReconnectLoop(Protocol[C]):
    """One side's connection, which `keep_up` maintains; C is the library's connection type.

    It also has `link`, a Link with the host to dial, on which `keep_up` sets whether the connection is up. Its
    `kind_of(error)` says what a library's error means; None if the standard library's types or the error's text decide.
    """

    async def dial(self) -> C:
        """Connect to the host of `link.target`, and resolve its name to do so. Leaves nothing open when it raises."""

    async def serve(self, connection: C) -> None:
        """Use the connection until it is lost, then return or raise."""

    def lost(self, cause: str) -> None:
        """The connection is lost: fail everybody who waits for something from it."""

    async def hang_up(self, connection: C) -> None:
        """Close the rest of the connection."""


class Supervisor(Generic[C]):
    """Dials and serves in separate tasks and waits for them, so no exception or cancellation in a task ends it.

    Before Python 3.11.3, after a TaskGroup failed in a task, a later `asyncio.timeout` leaks its cancellation; so each
    attempt has a new task.
    """

    def __init__(self, endpoint: Endpoint, line: ReconnectLoop[C]) -> None:
        self._endpoint = endpoint
        self._line = line
        self._link: Link = getattr(line, "link", None) or Link(endpoint)
        self._kind_of: Callable[[BaseException], CauseKind | None] = getattr(line, "kind_of", lambda _: None)
        self._closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = asyncio.current_task()
        self._hosts = itertools.cycle(endpoint.hosts)
        share_s = endpoint.timeout_s / len(endpoint.hosts)
        self._dial_s = max(share_s, min(endpoint.timeout_s, LEAST_DIAL_S))
        self._delays = delays_s()
        self._told_s = float("-inf")

    def close(self) -> None:
        """Make `run` end."""
        if not self._closing.done():
            self._closing.set_result(None)

    async def first(self) -> C:
        """Connect to the first host that answers; within the deadline, ask hosts again that are not ready yet.

        Raises:
            BrokerError: none does. UsageError: the URL is wrong.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._endpoint.timeout_s
        for delay_s in delays_s():
            errors: list[tuple[str, FanbenchError]] = []
            for address in itertools.islice(self._hosts, len(self._endpoint.hosts)):
                endpoint = self._endpoint.at(address)
                try:
                    return await self._dial(endpoint)
                except Exception as error:
                    errors.append((str(address), self._connect_error(endpoint, error)))
            if loop.time() + delay_s >= until_s or not any(_not_ready(error) for _, error in errors):
                raise self._no_host(errors) from None  # the library's own message may contain the password
            await asyncio.sleep(delay_s)
        raise AssertionError("delays_s has no end")

    def _no_host(self, errors: list[tuple[str, FanbenchError]]) -> FanbenchError:
        """One error for all hosts; a wrong URL is reported as such."""
        if len(errors) == 1 or not all(isinstance(error, BrokerError) for _, error in errors):
            return errors[-1][1]
        told = [(host, error) for host, error in errors if isinstance(error, BrokerError)]
        kind = next((e.kind for _, e in told if e.kind is not CauseKind.UNREACHABLE), CauseKind.UNREACHABLE)
        causes = ", ".join(f"{host}: {error.cause}" for host, error in told)
        return BrokerError(self._endpoint, "connect", causes, kind)

    def _connect_error(self, endpoint: Endpoint, error: Exception) -> FanbenchError:
        if isinstance(error, FanbenchError):
            return error
        kind = self._kind_of(error) or standard_kind(error)
        silent = isinstance(error, TimeoutError)
        cause = f"no answer within {self._dial_s:g} s" if silent else reason(error)
        return BrokerError(endpoint, "connect", cause, kind, _step_after(endpoint, kind))

    async def run(self, connection: C) -> None:
        """Serve, and dial again, until `close`."""
        try:
            while True:
                began_s = asyncio.get_running_loop().time()
                await self._serve(connection)
                if self._closing.done():
                    return
                if asyncio.get_running_loop().time() - began_s >= STEADY_S:
                    self._delays = delays_s()
                again = await self._dial_again()
                if again is None:
                    return
                (connection,) = again
                _log.warning("%s: connected again", self._endpoint)
        finally:
            self._link.went_down("closed" if self._closing.done() else "reconnecting has ended")

    async def _serve(self, connection: C) -> None:
        """Return when the connection was lost or dropped, or `close` was called, and it is closed."""
        dropped = self._link.came_up()
        serving = asyncio.create_task(self._line.serve(connection), name=f"{self._endpoint} serve")
        await self._first_of({serving, dropped, self._closing})
        cause = self._cause(serving, dropped)
        self._link.went_down(cause)
        if not self._closing.done():
            _log.warning("%s: connection lost: %s; reconnecting", self._endpoint, cause)
        await self._cancelled(serving, self._endpoint.timeout_s)
        try:
            self._line.lost(cause)
        except Exception:
            _log.exception("%s: reporting the lost connection failed", self._endpoint)
        await self._to_its_end(quietly(self._line.hang_up(connection), self._endpoint.timeout_s))
        await self._cancelled(serving, self._endpoint.timeout_s)

    def _cause(self, serving: asyncio.Task[None], dropped: asyncio.Future[str]) -> str:
        if dropped.done():
            return self._endpoint.hide_secrets(dropped.result())
        if not serving.done():
            return "closed"
        if serving.cancelled():
            return "a stray cancellation"
        error = serving.exception()
        return "closed by the broker" if error is None else self._endpoint.hide_secrets(reason(error))

    async def _dial_again(self) -> tuple[C] | None:
        """Dial until there is a connection; None if `close` was called."""
        for delay_s in self._delays:
            await self._first_of({self._closing}, delay_s)
            if self._closing.done():
                return None
            endpoint = self._endpoint.at(next(self._hosts))
            try:
                connection = await self._dial(endpoint)
            except (Exception, asyncio.CancelledError) as error:
                self._tell(endpoint, error)
            else:
                return (connection,)
        raise AssertionError("delays_s has no end")

    def _tell(self, endpoint: Endpoint, error: BaseException) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._told_s >= _TELL_S and not self._closing.done():
            self._told_s = now_s
            words = "no answer" if isinstance(error, TimeoutError) else endpoint.hide_secrets(reason(error))
            self._link.cause = words
            _log.warning("%s: cannot connect to %s again: %s; still trying", endpoint, endpoint.hosts[0], words)

    async def _dial(self, endpoint: Endpoint) -> C:
        """One attempt, in a separate task.

        Raises:
            TimeoutError: it took longer than its share of the deadline, or `close` was called.
        """
        self._link.target = endpoint
        dialling = asyncio.create_task(self._line.dial(), name=f"{self._endpoint} dial")
        try:
            await self._first_of({dialling, self._closing}, self._dial_s)
            if dialling.done() and not self._closing.done():
                if dialling.cancelled():
                    raise ConnectionError("a stray cancellation")
                return dialling.result()
        except asyncio.CancelledError:
            await finish(self._abandoned(dialling))
            raise
        await finish(self._abandoned(dialling))
        raise TimeoutError

    async def _abandoned(self, dialling: asyncio.Task[C]) -> None:
        """End an attempt; a connection that it got after all is closed."""
        await self._cancelled(dialling, 2 * self._endpoint.timeout_s)
        if dialling.done() and not dialling.cancelled() and dialling.exception() is None:
            await self._to_its_end(quietly(self._line.hang_up(dialling.result()), self._endpoint.timeout_s))

    async def _cancelled(self, task: asyncio.Task[Any], timeout_s: float) -> None:
        """Cancel a task and wait for its end, but not forever: reconnecting must continue."""
        task.cancel()
        await self._to_its_end(_waited(task, timeout_s))
        if not task.done():
            _log.error("%s: %s does not end; leaving it", self._endpoint, task.get_name())

    async def _to_its_end(self, work: Coroutine[Any, Any, None]) -> None:
        await self._first_of({asyncio.ensure_future(work)}, through_closing=True)

    async def _first_of(
        self, waited: set[asyncio.Future[Any]], timeout_s: float | None = None, *, through_closing: bool = False
    ) -> None:
        """Return when one of them is done or the time is over; only the owner's cancellation ends the wait.

        Raises:
            asyncio.CancelledError: only in the owner's own task, in `first`.
        """
        loop, me = asyncio.get_running_loop(), asyncio.current_task()
        until_s = None if timeout_s is None else loop.time() + timeout_s
        while not any(one.done() for one in waited):
            left_s = None if until_s is None else until_s - loop.time()
            if left_s is not None and left_s <= 0:
                return
            try:
                await asyncio.wait(waited, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                if me is self._owner and not through_closing:
                    raise
                self._survive(me)

    def _survive(self, me: asyncio.Task[Any] | None) -> None:
        """A stray cancellation, or that of asyncio.run after the owner of `keep_up` has ended and cannot close it."""
        if self._owner is None or self._owner.done():
            self.close()
        elif not self._closing.done():
            _log.warning("%s: a stray cancellation; reconnecting continues", self._endpoint)
        while me is not None and me is not self._owner and me.cancelling():
            me.uncancel()


def _not_ready(error: FanbenchError) -> bool:
    """Whether a reconnect would succeed: RabbitMQ confirms a stream to a second client before it has created it."""
    return isinstance(error, BrokerError) and error.kind is CauseKind.ELSEWHERE


def _step_after(endpoint: Endpoint, kind: CauseKind) -> str:
    """The next step after a broker silently closed a first connection: no reconnect will help."""
    if kind in (CauseKind.LOST, CauseKind.UNKNOWN) and is_secure(endpoint.scheme):
        return "check the port, and whether the broker asks for a client certificate (?cert_file=PATH) that it trusts"
    if kind is CauseKind.LOST:
        return "check the port, and whether the broker speaks this protocol, or TLS, on it"
    return ""


async def _waited(task: asyncio.Task[Any], timeout_s: float) -> None:
    await asyncio.wait([task], timeout=timeout_s)
