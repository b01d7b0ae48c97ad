"""SIGTERM and SIGHUP end fanbench like Ctrl-C: running programs are stopped, finished runs are kept."""

from __future__ import annotations

import os
import signal
import stat
import sys
from types import FrameType


def end_as_ctrl_c_does() -> None:
    """Make both raise KeyboardInterrupt. A signal that is ignored, for instance by `nohup`, stays ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGHUP:
        _leave_the_terminal()
    signal.default_int_handler(number, frame)


def _leave_the_terminal() -> None:
    """The terminal is gone: writing to it would raise an error while results are stored."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):  # isatty is false for a terminal that is gone
            os.dup2(nowhere, stream.fileno())
