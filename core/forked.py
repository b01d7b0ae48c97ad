"""Starts our own Python programs within milliseconds: a process that has imported their libraries forks them.

Importing a replica's libraries takes most of a CPU second at each start (docs/decisions/0005). The result is an
ordinary process, with its own process group, environment, log, command line in `ps`, and exit code.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from core.errors import TransientError
from core.process import OWN_PYTHON, Child, adopt, spawn

START_TIMEOUT_S = 60.0


class Forked:
    """A process that the fork server started, with the interface of `subprocess.Popen`."""

    def __init__(self, server: ForkServer, number: int, pid: int) -> None:
        self.pid = pid
        self._server = server
        self._number = number

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self._server.exit_code(self._number)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return the exit code.

        Raises:
            subprocess.TimeoutExpired: it still runs after `timeout` seconds.
        """
        return self._server.wait(self._number, timeout)

    def send_signal(self, sig: int) -> None:
        """Send it a signal; a no-op if it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, sig)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """A process that has imported the modules.

    It starts with `start` or the first program, and ends with this process.
    """

    def __init__(self, *modules: str) -> None:
        self._modules = modules
        self._lock = threading.Lock()
        self._told = threading.Condition()
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None
        self._pids: dict[int, int] = {}
        self._exit_codes: dict[int, int] = {}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - the fork server's stderr, as long as it may write

    def start(self) -> None:
        """Start importing, unless it already runs; return at once."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return
            self._process = subprocess.Popen(
                [*OWN_PYTHON, "-m", "core.fork_server", *self._modules],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,
            )
            threading.Thread(target=self._follow, args=(self._process,), daemon=True).start()

    def fork(self, program: str, log: Path, env: Mapping[str, str]) -> Forked:
        """Start `python -m PROGRAM`, and append its output to `log`.

        Raises:
            TransientError: the fork server has ended, or does not answer.
        """
        self.start()
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        number = next(self._numbers)
        request = {"number": number, "program": program, "log": str(log), "env": dict(env)}
        process = self._process
        assert process is not None
        assert process.stdin is not None
        with self._lock, contextlib.suppress(BrokenPipeError):  # its end is reported below
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        with self._told:
            self._told.wait_for(lambda: number in self._pids or process.poll() is not None, START_TIMEOUT_S)
            pid = self._pids.pop(number, None)
        if pid is None:
            raise TransientError(f"{program}: the process that starts it {self._why(process)}")
        return Forked(self, number, pid)

    def _why(self, process: subprocess.Popen[bytes]) -> str:
        """The error if it cannot start programs, and how to find out why."""
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        found = "does not answer" if process.poll() is None else f"ended with exit code {process.returncode}"
        command = f"{sys.executable} -P -m core.fork_server {' '.join(self._modules)}"
        return f"{found}: {said[0] if said else 'no output'}; see what `{command}` says"

    def spawn(self, name: str, program: str, log: Path, env: Mapping[str, str]) -> Child:
        """`core.process.spawn` for one of the programs, which forks only on Linux: elsewhere a fork may crash."""
        if sys.platform != "linux":
            return spawn(name, [*OWN_PYTHON, "-m", program], log, env=env)
        return adopt(name, self.fork(program, log, env), log)

    def exit_code(self, number: int) -> int | None:
        """The exit code of a program by its number; None while it runs."""
        with self._told:
            return self._exit_codes.get(number)

    def wait(self, number: int, timeout_s: float | None) -> int:
        """Wait at most `timeout_s` seconds for the end of a program; return its exit code."""
        with self._told:
            if not self._told.wait_for(lambda: number in self._exit_codes, timeout_s):
                raise subprocess.TimeoutExpired(f"program {number}", timeout_s or 0)
            return self._exit_codes[number]

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        """Read its answers; when it has ended, end its programs, because nobody would notice their end."""
        running: dict[int, int] = {}
        assert process.stdout is not None
        with process.stdout as answers:
            for line in answers:
                answer: dict[str, int] = json.loads(line)
                number = answer["number"]
                with self._told:
                    if "pid" in answer:
                        self._pids[number] = running[number] = answer["pid"]
                    else:
                        del running[number]
                        self._exit_codes[number] = answer["exit_code"]
                    self._told.notify_all()
        process.wait()
        with self._told:
            for number, pid in running.items():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
                self._exit_codes[number] = -signal.SIGKILL
            self._told.notify_all()
