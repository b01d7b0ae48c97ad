"""Calls a function after a delay with a precision of microseconds: the timers of uvloop and epoll count whole milliseconds."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

_NS_PER_S = 1_000_000_000
_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK
_EXPIRED_BYTES = 8


class _Itimerspec(ctypes.Structure):
    """`struct itimerspec` of timerfd_settime(2): the interval, and the first expiry."""

    _fields_ = (
        ("again_s", ctypes.c_long),
        ("again_ns", ctypes.c_long),
        ("first_s", ctypes.c_long),
        ("first_ns", ctypes.c_long),
    )


class Alarm:
    """Calls `ring` once, after the delay that was set last, in the event loop and without a task.

    It is a Linux timer that the event loop watches like a socket; on other systems the loop's own timer.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = -1
        self._spec = _Itimerspec()
        self._pointer = ctypes.byref(self._spec)
        self._is_set = False
        self._handle: asyncio.TimerHandle | None = None

    def __enter__(self) -> Alarm:
        if hasattr(self._libc, "timerfd_create"):
            self._fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, _CLOEXEC_NONBLOCK)
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._expired)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        if self._handle is not None:
            self._handle.cancel()

    def set(self, delay_ns: int) -> None:
        """Ring when this much time has passed."""
        if self._fd < 0:
            self._handle = self._loop.call_later(delay_ns / _NS_PER_S, self._ring)
            return
        # Not 0, which would stop the timer.
        self._spec.first_s, self._spec.first_ns = divmod(max(1, delay_ns), _NS_PER_S)
        self._libc.timerfd_settime(self._fd, 0, self._pointer, None)
        self._is_set = True

    def _expired(self) -> None:
        self._is_set = False
        self._ring()
        if not self._is_set and self._fd >= 0:  # setting it again would also have made it unreadable
            with suppress(BlockingIOError):
                os.read(self._fd, _EXPIRED_BYTES)
