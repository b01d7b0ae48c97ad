"""A Locust child process that writes the number of connected clients and received events to a file."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import TracebackType

from benchmarks.machine import on_core
from core.contracts.codec import read
from core.contracts.load_status import LoadStatus
from core.errors import FanbenchError
from core.process import spawn

ROOT = Path(__file__).resolve().parent.parent
OURS = ROOT / "load" / "sse.py"
PLAIN = Path(__file__).with_name("plain_user.py")
SSE_USER = Path(__file__).with_name("sse_user.py")
CONNECT_S = 60.0
CONNECT_HZ = 1_000


class LocustProcess:
    """All its clients connected; leaving the `with` block ends it."""

    def __init__(
        self, locustfile: Path, port: int, clients: int, folder: Path, core: int | None, authority: Path | None = None
    ) -> None:
        """`authority` is a PEM file of what is trusted: then the clients use TLS."""
        self.clients = clients
        self._status = folder / f"{locustfile.stem}.status.json"
        env = {name: value for name, value in os.environ.items() if not name.startswith("FANBENCH_")}
        env |= {"FANBENCH_LOAD_STATUS": str(self._status), "FANBENCH_STATUS": str(self._status)}
        command: list[str | Path] = [sys.executable, "-m", "locust", "-f", locustfile, "--headless", "--skip-log-setup"]
        command += ["-u", str(clients), "-r", str(CONNECT_HZ)]
        if authority is None:
            command += ["--host", f"http://127.0.0.1:{port}"]
        else:
            command += ["--host", f"https://127.0.0.1:{port}", "--ca-file", authority]
        with on_core(core):
            self._child = spawn("Locust", command, folder / f"{locustfile.stem}.log", env=env, cwd=folder)
        self.pid = self._child.pid

    def __enter__(self) -> LocustProcess:
        deadline = time.monotonic() + CONNECT_S
        while (connected := self._told().clients) < self.clients:
            if self._child.returncode is not None or time.monotonic() > deadline:
                words = f"{connected} of {self.clients} clients connected; {self._child.last_words()}"
                self._child.kill()
                raise FanbenchError(f"Locust: {words}")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()

    def _told(self) -> LoadStatus:
        return read(LoadStatus, self._status) or LoadStatus()

    def delivered(self) -> int:
        """Events so far, over all clients; up to 0.2 s old."""
        return self._told().deliveries
