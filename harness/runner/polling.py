"""Waits for other programs, with a deadline, and only while they are alive."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from core.errors import TransientError
from core.process import Child

_POLL_S = 0.02
T = TypeVar("T")


def poll(what: str, timeout_s: float, probe: Callable[[], T | None], alive: Sequence[Child] = ()) -> T:
    """Call `probe` until it returns something other than None.

    Raises:
        TransientError: it returned None for `timeout_s` seconds. FanbenchError: one of the children in `alive` ended.
    """
    deadline = time.monotonic() + timeout_s
    while (found := probe()) is None:
        if any(child.returncode is not None for child in alive):
            if (found := probe()) is not None:  # its last action, since the previous probe
                return found
            for child in alive:
                child.require_alive()
        if time.monotonic() > deadline:
            words = alive[0].last_words() if alive else "see the logs"
            raise TransientError(f"{what}: not within {timeout_s:g} s; {words}")
        time.sleep(_POLL_S)
    return found


def poll_growth(what: str, timeout_s: float, probe: Callable[[], int], target: int, alive: Sequence[Child] = ()) -> int:
    """Call `probe` until it returns at least `target`; continue while the value grows, because a busy machine is slow.

    Raises:
        TransientError: it did not grow for `timeout_s` seconds. FanbenchError: one of the children in `alive` ended.
    """
    most = 0

    def more() -> int | None:
        return found if (found := probe()) > most else None

    while most < target:
        most = poll(f"{what}: {most} of {target} so far, and one more", timeout_s, more, alive)
    return most
