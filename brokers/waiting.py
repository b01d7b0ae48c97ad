"""Awaits calls that must not be cancelled half-way, and formats exceptions in one line."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from brokers.errors import BrokerError

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end and return its result, even if the caller is cancelled.

    Pass the cancellation on afterwards.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # nobody will read it, and asyncio would complain
        raise cancelled
    return task.result()


async def uncancelled(work: Awaitable[T]) -> T:
    """Pass on a cancellation that `work` swallowed.

    nats-py does so, and sometimes `asyncio.wait_for` before Python 3.12.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    result = await work
    if task.cancelling() > before:
        raise asyncio.CancelledError
    return result


def ends(future: asyncio.Future[Any]) -> Callable[[Any], None]:
    """A callback that ends the future with an answer, or with the error given in its place."""

    def answered(answer: Any) -> None:
        if future.done():  # the caller was cancelled
            return
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    return answered


async def quietly(work: Coroutine[Any, Any, None], timeout_s: float) -> None:
    """Run `work`, which closes something; ignore its errors, and stop at the deadline."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(timeout_s):
            await work


def reason(error: BaseException) -> str:
    """An exception's message on one line, or its type if it has none; for a fanbench error only the cause."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, BrokerError):
        return error.cause
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer"
    return " ".join(str(error).split()) or type(error).__name__
