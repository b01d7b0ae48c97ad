"""Which core a process runs on, and its usage, from /proc."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.errors import UsageError

PROC = Path("/proc")
_PSS = re.compile(rb"^Pss:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Cores:
    """The core of the measured program, and the core of everything else; None if there is only one."""

    measured: int | None
    others: int | None

    @classmethod
    def choose(cls) -> Cores:
        """The first two cores that this process may use.

        Raises:
            UsageError: this is not Linux.
        """
        if not (PROC / "self" / "schedstat").exists():
            raise UsageError(
                f"{sys.platform}: the benchmarks read CPU time from /proc/PID/schedstat, which is not here; run on Linux"
            )
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[0], cores[1]) if len(cores) > 1 else cls(None, None)


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Children started within the block run on that core; afterwards this process has its former cores."""
    with on_cores(Cores(core, None)):
        yield


@contextlib.contextmanager
def on_cores(cores: Cores) -> Iterator[None]:
    """This process and children started within the block run on both."""
    both = {core for core in (cores.measured, cores.others) if core is not None}
    if not both:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, both)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def stay_on(core: int | None) -> None:
    """Move this process to that core."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def tree(pid: int) -> list[int]:
    """A process and all its children."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def cpu_ns(pids: list[int]) -> int:
    """CPU time of processes in nanoseconds: the first field of each thread's schedstat (/proc/PID/stat has 10 ms steps)."""
    total = 0
    for pid in pids:
        for task in (PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
                total += int((task / "schedstat").read_bytes().split()[0])
    return total


def reads(pid: int) -> int:
    """The number of read(2) calls of a process so far, without recv(2)."""
    text = (PROC / str(pid) / "io").read_text()
    return int(text.partition("syscr: ")[2].partition("\n")[0])


def memory_bytes(pids: list[int]) -> int:
    """The memory of processes with shared pages counted once (Pss), without the kernel's socket buffers."""
    total = 0
    for pid in pids:
        match = _PSS.search((PROC / str(pid) / "smaps_rollup").read_bytes())
        assert match is not None
        total += int(match[1]) * 1024
    return total
