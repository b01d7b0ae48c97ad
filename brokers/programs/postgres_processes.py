"""A PostgreSQL server and its backends: each has its own session, so a signal to the group misses some."""

from __future__ import annotations

import contextlib
import ctypes
import signal
from pathlib import Path

import psutil

from brokers.programs.postgres_background import BackgroundCommits
from core.process import Child

_IPC_RMID = 0
_END_S = 5.0
"""Time for the backends of a killed server to end; the next start fails while one of them lives."""


class PostgresProcesses:
    """One start of a server, with the interface of core.process.Child (see running.Started)."""

    def __init__(self, server: Child, data: Path, background: BackgroundCommits | None = None) -> None:
        """`data` is the server's own folder; `background` is a load that runs as long as the server."""
        self._server = server
        self._data = data
        self._background = background

    @property
    def pid(self) -> int:
        """The server's first process."""
        return self._server.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._server.returncode

    @staticmethod
    def shortfall_of(started: object) -> str:
        """What the background load of this start did not do; empty without one, or if it does it."""
        own = started._background if isinstance(started, PostgresProcesses) else None
        return "" if own is None else own.shortfall()

    def last_words(self) -> str:
        """The end of its log on one line, for an error."""
        return self._server.last_words()

    def _backends(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self._server.pid).children(recursive=True)
        except psutil.Error:
            return []

    def send_signal(self, sig: signal.Signals) -> None:
        """Send a signal to the server and all its backends; a stopped server starts no new ones."""
        if self.returncode is not None:
            return
        backends = self._backends() if sig == signal.SIGCONT else []
        self._server.send_signal(sig)
        for process in backends or self._backends():
            with contextlib.suppress(psutil.Error):
                process.send_signal(sig)

    def stop(self, grace_s: float) -> None:
        """End it cleanly at once; with SIGTERM it would wait for its clients. Idempotent."""
        if self.returncode is None:
            self.send_signal(signal.SIGCONT)
            self._server.send_signal(signal.SIGINT)
            self._server.wait(grace_s)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to all; return when all have ended."""
        if self._background is not None:
            self._background.kill()
        backends = self._backends()
        self._server.kill()
        for process in backends:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(backends, timeout=_END_S)
        self._remove_segment()

    def _remove_segment(self) -> None:
        """Free 56 bytes of shared memory, which mark the data as in use: after SIGKILL they would stay."""
        try:
            words = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[6].split()
            ctypes.CDLL(None).shmctl(int(words[1]), _IPC_RMID, None)
        except (OSError, LookupError, ValueError, AttributeError):  # it ended cleanly, or never started
            return
