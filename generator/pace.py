"""Follows a schedule in event-loop callbacks: waking a task would cost another turn of the loop each time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from core.clock import now_ns
from generator.alarm import Alarm

NEXT_TURN = 0
"""A step yields this to let other callbacks run."""
_SHORT_NS = 5_000_000


class Pace:
    """Runs the steps of an iterator. Each step yields the earliest start of the next step (wall clock, ns)."""

    def __init__(self, steps: Iterator[int]) -> None:
        self._steps = steps
        self._until_ns = NEXT_TURN
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._alarm = Alarm(self._go_on)

    async def follow(self) -> None:
        """Return after the last step, or raise a step's exception. After a cancellation no further step runs."""
        with self._alarm:
            self._go_on()
            await self._ended

    def _go_on(self) -> None:
        if self._ended.done():  # cancelled
            return
        try:
            while not self._waits():
                self._until_ns = next(self._steps)
                if self._until_ns == NEXT_TURN:
                    self._loop.call_soon(self._go_on)
                    return
        except StopIteration:
            self._ended.set_result(None)
        except Exception as error:
            self._ended.set_exception(error)

    def _waits(self) -> bool:
        """Whether it is too early for the next step; if so, set the alarm."""
        wait_ns = self._until_ns - now_ns()
        if wait_ns <= 0:
            return False
        # The loop's timer may fire a millisecond early, or late if the loop was busy (with a fan-out) when it set the
        # timer. So a long wait is halved until it is short, and no step begins early.
        self._alarm.set(wait_ns if wait_ns < _SHORT_NS else wait_ns // 2)
        return True
