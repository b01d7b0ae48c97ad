"""Runs `fanbench` to its end as a fork of a process that has its libraries imported.

For commands that refuse or read: their start takes most of a CPU second, and there are a hundred in the tests.
Commands that start programs, are interrupted or are installed elsewhere start from a command line (tests/harness/command.py).
"""

import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.elsewhere import put_decoys

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "harness.commands.cli",
        *(
            f"harness.commands.{command}"
            for command in ("capacity", "choose", "compare", "demo", "doctor", "faults", "hop", "publish", "size")
        ),
    ]
)


class Done(NamedTuple):
    """A command that has ended, with the names of `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str
    cpu_s: float


def forked_fanbench(*words: object, timeout_s: float = 100, cwd: Path | None = None, memory_bytes: int = 0) -> Done:
    """Run it with this memory limit, unless it is 0; without `cwd` in a new directory of decoys.

    Raises:
        subprocess.TimeoutExpired: it has not ended within `timeout_s` seconds, and was killed.
    """
    with tempfile.TemporaryDirectory(prefix="elsewhere-") as name:
        folder = Path(name)
        arguments = [str(word) for word in words]
        place = cwd or put_decoys(folder / "here")
        process = _FORKS.Process(target=_become, args=(arguments, place, dict(os.environ), folder, memory_bytes))
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["fanbench", *arguments], timeout_s)
        said = [(folder / stream).read_text(encoding="utf-8") for stream in ("stdout", "stderr")]
        cpu = folder / "cpu"
        return Done(process.exitcode, *said, float(cpu.read_text()) if cpu.exists() else 0.0)


def _become(arguments: Sequence[str], cwd: Path, environment: dict[str, str], folder: Path, memory_bytes: int) -> None:
    for number, name in enumerate(("stdout", "stderr"), start=1):
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = ["fanbench", *arguments]
    sys.path[:] = [entry for entry in sys.path if entry]  # '' is the current directory
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    from harness.commands.cli import main

    try:
        main()
    finally:
        used = resource.getrusage(resource.RUSAGE_SELF)
        (folder / "cpu").write_text(str(used.ru_utime + used.ru_stime))
