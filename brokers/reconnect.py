"""The one reconnect policy of all adapters, so that a comparison of faults compares brokers and not defaults."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from brokers.endpoint import BrokerError, Endpoint
from core.errors import FanbenchError

FIRST_S = 0.05
LONGEST_S = 1.0
FACTOR = 2.0
JITTER = 0.2
HEARTBEAT_S = 2.5
_TELL_S = 10.0

_log = logging.getLogger("fanbench.brokers")
C = TypeVar("C")
T = TypeVar("T")


def delays_s(rng: random.Random | None = None) -> Iterator[float]:
    """Seconds to wait before each further attempt, without end: 0.05, 0.1, 0.2 … 1, each ±20 % by chance.

    Jitter keeps the replicas of one service from coming back in step.
    """
    rng = rng or random.Random()
    wait = FIRST_S
    while True:
        yield wait * rng.uniform(1 - JITTER, 1 + JITTER)
        wait = min(wait * FACTOR, LONGEST_S)


def heartbeat_s(endpoint: Endpoint) -> float:
    """How often a connection is asked for a sign of life; without one for the endpoint's deadline it counts as lost."""
    return min(HEARTBEAT_S, endpoint.timeout_s / 2)


class ReconnectLoop(Protocol[C]):
    """One side's connection, kept up by `keep_up`; C is what the library calls a connection."""

    async def dial(self) -> C:
        """Connect. Leaves nothing open when it raises."""

    async def serve(self, connection: C) -> None:
        """Use the connection until it is lost, then return or raise."""

    def lost(self, cause: str) -> None:
        """The connection is gone: whoever waits for something from it must be told."""

    async def hang_up(self, connection: C) -> None:
        """Close what is left of the connection."""


@asynccontextmanager
async def keep_up(endpoint: Endpoint, line: ReconnectLoop[C]) -> AsyncIterator[None]:
    """Connect, and within the block connect again whenever the connection is lost, with `delays_s` between attempts.

    Leaves no task and no connection behind, also when it is cancelled while closing.

    Raises:
        BrokerError: the first attempt failed, or took longer than the endpoint's deadline. UsageError: the URL's fault.
    """
    try:
        connection = await _dial(endpoint, line)
    except Exception as error:
        raise connect_error(endpoint, error) from None  # the library's own words may hold the password
    task = asyncio.create_task(_stay_up(endpoint, line, connection), name=f"{endpoint} line")
    try:
        await asyncio.sleep(0)  # a task that is cancelled before its first step would not close the connection
        yield
    finally:
        task.cancel()
        await finish(_settled(task))


async def _dial(endpoint: Endpoint, line: ReconnectLoop[C]) -> C:
    async with asyncio.timeout(endpoint.timeout_s):
        return await line.dial()


async def _stay_up(endpoint: Endpoint, line: ReconnectLoop[C], connection: C) -> None:
    while True:
        cause = "closed"
        try:
            await line.serve(connection)
            cause = "closed by the broker"
        except Exception as error:  # whatever a library raises, the connection is of no more use
            cause = endpoint.hide_secrets(reason(error))
        finally:
            line.lost(cause)
            await finish(quietly(line.hang_up(connection), endpoint.timeout_s))
        _log.warning("%s: connection lost: %s; reconnecting", endpoint, cause)
        connection = await _dial_again(endpoint, line)
        _log.warning("%s: connected again", endpoint)


async def _dial_again(endpoint: Endpoint, line: ReconnectLoop[C]) -> C:
    told_s = float("-inf")
    for delay_s in delays_s():
        await asyncio.sleep(delay_s)
        try:
            return await _dial(endpoint, line)
        except Exception as error:
            now_s = asyncio.get_running_loop().time()
            if now_s - told_s >= _TELL_S:
                told_s = now_s
                _log.warning("%s: cannot connect again: %s; trying on", endpoint, endpoint.hide_secrets(reason(error)))
    raise AssertionError("delays_s has no end")


async def finish(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end even when the caller is cancelled meanwhile; the cancellation is then passed on."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()


async def uncancelled(work: Awaitable[T]) -> T:
    """Pass a cancellation on that `work` swallowed, as nats-py does, and `asyncio.wait_for` at times before Python 3.12."""
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    result = await work
    if task.cancelling() > before:
        raise asyncio.CancelledError
    return result


async def _settled(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def quietly(work: Coroutine[Any, Any, None], timeout_s: float) -> None:
    """Run `work`, which closes something: its errors are of no interest, nor what it has not done in time."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(timeout_s):
            await work


def reason(error: BaseException) -> str:
    """What an exception says, on one line; its kind where it says nothing. Of an error of ours the cause alone."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, BrokerError):
        return error.cause
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer"
    return " ".join(str(error).split()) or type(error).__name__


CHECK_LOGIN = "check the user and the password in the URL"
_NEXT_STEPS = (
    (("auth", "password", "login", "access_refused", "not authori", "permission", "credential", "wrongpass"),
     CHECK_LOGIN),
    (("certificate", "ssl", "tls"), "check that the port speaks TLS, and give its CA with ?ca_file=PATH"),
)  # fmt: skip


def connect_error(endpoint: Endpoint, error: BaseException) -> FanbenchError:
    """Why connecting failed, with the next step that the library's words point to; an error of ours says it already."""
    if isinstance(error, FanbenchError):
        return error
    refused = any(isinstance(one, ssl.SSLError) and not isinstance(one, _LINK_LOST) for one in _chain(error))
    cause = f"no answer within {endpoint.timeout_s:g} s" if isinstance(error, TimeoutError) else reason(error)
    step = next((step for words, step in _NEXT_STEPS if any(word in cause.lower() for word in words)), None)
    step = step or "check host and port, and that the broker runs"
    return BrokerError(endpoint, "connect", cause, step, transient=not refused)


_LINK_LOST = (ssl.SSLEOFError, ssl.SSLZeroReturnError)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what it was raised for: libraries wrap those of TLS in their own."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def refused(endpoint: Endpoint, error: BaseException, step: str = CHECK_LOGIN) -> BrokerError:
    """For the `dial` of an adapter, where the broker answered that it does not take us: it would say the same again."""
    return BrokerError(endpoint, "connect", reason(error), step, transient=False)
