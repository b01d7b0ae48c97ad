"""Child processes that never outlive fanbench: separate process group, output to a log file, terminate-wait-kill."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from core.errors import REFUSED, FanbenchError, TransientError

STOP_GRACE_S = 3.0
OWN_PYTHON = [sys.executable, "-P"]
"""Starts fanbench's own Python programs. `-P` keeps the current directory off their path, so that a user's folder named
core or server is not imported by mistake."""
_SETPRIV = shutil.which("setpriv") if sys.platform == "linux" else None
DIES_WITH_PARENT = [_SETPRIV, "--pdeathsig", "KILL"] if _SETPRIV else []
"""Execs the command that follows; the kernel kills it when the thread that started it ends, so it ends even if fanbench
and its guard are killed together. Its own children are not covered."""
ONCE_GUARDED = ["/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh"]
"""Waits for `go` on stdin, then execs the command.

The guard must know a child's group before the child does anything: if fanbench is killed in between, the shell reads
the end of its input and exits."""


class _Guard:
    """The pipe to core/guard.py, started with the first child."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start it unless it runs."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    [sys.executable, "-S", "-E", str(Path(__file__).with_name("guard.py"))],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )

    def tell(self, line: str) -> None:
        self.start()
        with self._lock:
            assert self._process is not None
            assert self._process.stdin is not None
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()


_guard = _Guard()


class Process(Protocol):
    """The process of a child: `subprocess.Popen`, or core.forked.Forked."""

    pid: int

    def poll(self) -> int | None:
        """The exit code; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; raise `subprocess.TimeoutExpired` if it still runs after `timeout` seconds."""

    def terminate(self) -> None:
        """SIGTERM."""


class Child:
    """A running child and its log file; `name` is what errors call it."""

    def __init__(self, name: str, process: Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @property
    def pid(self) -> int:
        """The child's process id, which is also its process group."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.poll()

    def require_alive(self) -> None:
        """Raise FanbenchError, with the log's last lines, if the child has ended."""
        if self.returncode is not None:
            raise self.failure(f"{self.name} ended with exit code {self.returncode}; {self.last_words()}")

    def failure(self, words: str) -> FanbenchError:
        """The error for a child that ended early: transient, unless its exit code says that a retry would fail too."""
        return FanbenchError(words) if self.returncode == REFUSED else TransientError(words)

    def has_logged(self) -> bool:
        """Whether its log has any text."""
        try:
            return self.log.stat().st_size > 0
        except OSError:
            return False

    def last_words(self, lines: int = 3) -> str:
        """The end of the log on one line, for an error."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            text = ""
        return f"its log ({self.log}) ends: {' | '.join(text.splitlines()[-lines:]) or 'empty'}"

    def send_signal(self, sig: signal.Signals) -> None:
        """Send a signal to the child's whole process group; no error if it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, sig)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end; False if it still runs after `timeout_s` seconds."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def terminate(self) -> None:
        """Sends SIGTERM to the child itself, which continues if it was stopped."""
        if self._process.poll() is None:
            self.send_signal(signal.SIGCONT)
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """SIGTERM to the child, wait, then SIGKILL to its whole group. Idempotent."""
        if self._process.poll() is None:
            self.terminate()
            self.wait(grace_s)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole group, including what the child left behind, and reap it."""
        self.send_signal(signal.SIGKILL)
        self._process.wait()
        _guard.tell(f"-{self.pid}")


def when_killed(command: Sequence[str | Path]) -> Callable[[], None]:
    """Make the guard run a command if fanbench ends without calling the returned function, which cancels it.

    This is for what is not a child of fanbench, such as a container. The command must be harmless if nothing is left to
    do.
    """
    line = "\t".join(str(word) for word in command)
    _guard.tell(f"+{line}")
    return lambda: _guard.tell(f"-{line}")


def adopt(name: str, process: Process, log: Path) -> Child:
    """Register with the guard a process that leads its group and ends on its own if fanbench ends."""
    _guard.tell(f"+{process.pid}")
    return Child(name, process, log)


def bound_to_us(starts_more: bool = False) -> list[str]:
    """DIES_WITH_PARENT, except if another thread starts it: the child would end with that thread."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [*DIES_WITH_PARENT[:-1], "TERM"] if DIES_WITH_PARENT and starts_more else DIES_WITH_PARENT


def spawn(
    name: str,
    command: Sequence[str | Path],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    starts_more: bool = False,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Start a command in its own process group, with output to `log`.

    The guard watches it, and if both are gone the kernel ends it. With `starts_more` the kernel sends SIGTERM, on which
    the command ends the processes that it started. The command inherits the descriptors `pass_fds`.

    Raises:
        FanbenchError: the command cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(part) for part in command]
    if shutil.which(words[0], path=None if env is None else env.get("PATH")) is None:
        raise FanbenchError(f"{name}: cannot start {words[0]}: no such program; is it installed?")
    _guard.start()  # before the child, which would remain if fanbench were killed while the guard starts
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                [*bound_to_us(starts_more), *ONCE_GUARDED, *words],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                process_group=0,
                pass_fds=pass_fds,
            )
        except OSError as error:
            raise FanbenchError(f"{name}: cannot start {words[0]}: {error.strerror}; is it installed?") from error
    child = adopt(name, process, log)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as go:  # whoever waits for it reports its end
        go.write(b"\n")
    return child
