"""Sleeps with a precision of microseconds: the timers of uvloop and epoll count whole milliseconds."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from types import TracebackType

_NS_PER_S = 1_000_000_000
_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK
_EXPIRED_BYTES = 8


class _Itimerspec(ctypes.Structure):
    """`struct itimerspec` of timerfd_settime(2): when again, and when first."""

    _fields_ = (
        ("again_s", ctypes.c_long),
        ("again_ns", ctypes.c_long),
        ("first_s", ctypes.c_long),
        ("first_ns", ctypes.c_long),
    )


class Alarm:
    """A Linux timer that the event loop watches like a socket; on other systems the loop's own timer.

    One task sleeps at a time.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = -1
        self._spec = _Itimerspec()
        self._pointer = ctypes.byref(self._spec)
        self._sleeping: asyncio.Future[None] | None = None

    def __enter__(self) -> Alarm:
        if hasattr(self._libc, "timerfd_create"):
            self._fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, _CLOEXEC_NONBLOCK)
        if self._fd >= 0:
            asyncio.get_running_loop().add_reader(self._fd, self._ring)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    async def sleep(self, seconds: float) -> None:
        """Return when this much time has passed."""
        if self._fd < 0:
            await asyncio.sleep(seconds)
            return
        # Not 0, which would stop the timer.
        self._spec.first_s, self._spec.first_ns = divmod(max(1, int(seconds * _NS_PER_S)), _NS_PER_S)
        self._libc.timerfd_settime(self._fd, 0, self._pointer, None)
        self._sleeping = asyncio.get_running_loop().create_future()
        await self._sleeping

    def _ring(self) -> None:
        try:
            os.read(self._fd, _EXPIRED_BYTES)
        except BlockingIOError:  # it was set again after it expired, and has not expired since
            return
        if self._sleeping is not None and not self._sleeping.done():
            self._sleeping.set_result(None)
