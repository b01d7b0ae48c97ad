"""Forks programs that it has already imported: `python -m core.fork_server MODULE...`, see core/forked.py.

It imports the modules, then reads requests from stdin, one JSON object a line: `number`, `program` (whose `__main__`
has a `main()`), `log`, `env`. For each it forks and writes `number` and `pid` to stdout, and later `number` and
`exit_code` when the process has ended. When stdin closes, because the requester ended or was killed, it kills the
processes that still run. Only our own parent sends requests, over a pipe.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypedDict

from setproctitle import setproctitle

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class ForkRequest(TypedDict):
    """A line on stdin."""

    number: int
    program: str
    log: str
    env: dict[str, str]


def _answer(**fields: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # the requester is gone: stdin will close, and everything is killed
        os.write(1, json.dumps(fields).encode() + b"\n")


def _become(request: ForkRequest) -> object:
    """In the child: set up what a command line would, then run the program."""
    with Path(request["log"]).open("ab") as log, Path(os.devnull).open("rb") as nothing:
        for stream, file in enumerate((nothing, log, log)):
            os.dup2(file.fileno(), stream)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    _die_with_parent()
    program = request["program"]
    setproctitle(f"{sys.executable} -m {program}")  # before the next line: it needs the original environment
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv[1:] = []
    return importlib.import_module(f"{program}.__main__").main()


def _die_with_parent() -> None:
    """Make the kernel end this process with the fork server, which may be killed before it can."""
    parent = os.getppid()
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _serve() -> Callable[[], object] | None:
    """Serve until stdin closes; in each child, return what the child must run."""
    running: dict[int, int] = {}

    def reap(*_: object) -> None:
        while running:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:  # the signal came twice, and this loop reaped the last child
                break
            if not pid:
                break
            _answer(number=running.pop(pid), exit_code=os.waitstatus_to_exitcode(status))

    signal.signal(signal.SIGCHLD, reap)
    for line in sys.stdin:
        request: ForkRequest = json.loads(line)
        # Blocked until the child is in `running` and its start was reported.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            return partial(_become, request)
        with contextlib.suppress(OSError):  # the child has done it, and may have ended
            os.setpgid(pid, pid)
        running[pid] = request["number"]
        _answer(number=request["number"], pid=pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    return None


def main() -> None:
    """Serve; a child exits as its program does."""
    for module in sys.argv[1:]:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # a collection in a child would write to, and so copy, every imported page
    become = _serve()
    if become is not None:
        become()


if __name__ == "__main__":
    main()
