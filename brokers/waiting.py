"""Awaits calls that must not be cancelled half-way, and formats exceptions in one line."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from brokers.errors import BrokerError

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end, for its result, even when the caller is cancelled meanwhile: that is then passed on."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # nobody asks for it any more, and asyncio would tell of it
        raise cancelled
    return task.result()


async def uncancelled(work: Awaitable[T]) -> T:
    """Pass a cancellation on that `work` swallowed, as nats-py does, and `asyncio.wait_for` at times before Python 3.12."""
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    result = await work
    if task.cancelling() > before:
        raise asyncio.CancelledError
    return result


async def quietly(work: Coroutine[Any, Any, None], timeout_s: float) -> None:
    """Run `work`, which closes something: its errors are of no interest, nor what it has not done in time."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(timeout_s):
            await work


def reason(error: BaseException) -> str:
    """What an exception says, on one line; its kind where it says nothing. Of a fanbench error the cause alone."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, BrokerError):
        return error.cause
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer"
    return " ".join(str(error).split()) or type(error).__name__
