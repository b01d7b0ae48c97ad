"""Runs `fanbench` as a user would, in an unrelated directory, and looks for what it leaves behind."""

import contextlib
import fcntl
import os
import pty
import signal
import subprocess
import tempfile
import termios
from functools import partial
from pathlib import Path

import psutil

from core.process import OWN_PYTHON
from tests.elsewhere import put_decoys
from tests.waiting import wait_until

FANBENCH = [*OWN_PYTHON, "-m", "harness.commands.cli"]


def fanbench(*words, timeout_s=100, cwd=None, env=None):
    """Run it to its end and capture its output; `env` is added to this process's environment.

    Without `cwd` it runs in a new directory of decoys, which is removed afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="elsewhere-") as elsewhere:
        return subprocess.run(
            [*FANBENCH, *map(str, words)],
            cwd=cwd or put_decoys(Path(elsewhere)),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=os.environ | (env or {}),
        )


class Started:
    """A running fanbench: every descendant that it ever had is known by id and start time."""

    def __init__(self, *words, log, terminal=False):
        """With `terminal` it writes to its own terminal, which `close_terminal` closes, and the log stays empty."""
        self._elsewhere = tempfile.TemporaryDirectory(prefix="elsewhere-")
        self._terminal, output = pty.openpty() if terminal else (None, os.open(log, os.O_WRONLY | os.O_CREAT))
        log.touch()
        self.process = subprocess.Popen(
            [*FANBENCH, *map(str, words)],
            cwd=put_decoys(Path(self._elsewhere.name)),
            stdin=output if terminal else None,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=partial(fcntl.ioctl, output, termios.TIOCSCTTY, 0) if terminal else None,
        )
        os.close(output)
        self.log = log
        self.seen: set[psutil.Process] = set()

    def look(self):
        """Record the current descendants; return the number of programs that ran so far."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.seen |= set(psutil.Process(self.process.pid).children(recursive=True))
        return len(self.seen)

    def wait_for(self, words):
        """Wait until the log has `words`."""

        def there():
            self.look()
            assert self.process.poll() is None, self.log.read_text()
            return words in self.log.read_text()

        wait_until(there, f"{words!r} in the log of fanbench", 60)

    def wait_for_command(self, part):
        """Wait until a descendant's command line contains `part`."""

        def there():
            self.look()
            assert self.process.poll() is None, self.log.read_text()
            return any(part in word for process in self.seen for word in command_line(process))

        wait_until(there, f"a process with {part!r} in its command line", 60)

    def interrupt(self):
        """Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    def close_terminal(self):
        """Hang up, as when its window is closed or the SSH connection is lost."""
        os.close(self._terminal)
        self._terminal = None

    def left(self):
        """Descendants that still run. The guard lives as long as fanbench, which writes its report after Ctrl-C."""
        guarding = self.process.poll() is None
        return [
            process
            for process in self.seen
            if runs(process) and not (guarding and any(word.endswith("guard.py") for word in command_line(process)))
        ]

    def close(self):
        """End it, whatever the test did."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._terminal is not None:
            self.close_terminal()
        self._elsewhere.cleanup()


def runs(process):
    """Whether it still runs; it may end between two queries."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def command_line(process):
    """A process's command line; empty if it is gone."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []
