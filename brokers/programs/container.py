"""A container that a fault can kill and restart. It is removed however fanbench ends."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brokers.programs.docker import docker
from core.errors import FanbenchError
from core.process import Child, spawn, when_killed

LABEL = "fanbench"
"""The label of every container from fanbench: `docker ps -a --filter label=fanbench`."""
_GRACE_S = 10.0
_POLL_S = 0.02
_INSIDE = re.compile(r"^NSpid:\s+\d+\s+(?:\d+\s+)*1$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Container:
    """A container made from an image. It can be started many times, with the same ports and data."""

    name: str
    """Its unique name in docker."""
    program: str
    """Its name in errors."""
    log: Path
    uncover: Callable[[], None]
    """Tells the guard that it is gone."""

    def start(self) -> ContainerProcess:
        """Start it; return when its first process runs or has ended. Its output goes to the log.

        Raises:
            FanbenchError: docker cannot be run.
        """
        client = spawn(self.program, ["docker", "start", "--attach", self.name], self.log)
        try:
            return ContainerProcess(self, client, self._first_pid(client))
        except BaseException:
            client.kill()
            raise

    def _first_pid(self, client: Child) -> int:
        # Docker's ports accept connections before the container has a network, which would delay the first probe by a
        # second.
        deadline = time.monotonic() + _GRACE_S
        while client.returncode is None and time.monotonic() < deadline:
            pid = int(docker("inspect", "--format", "{{.State.Pid}}", self.name))
            if pid:
                return pid
            time.sleep(_POLL_S)
        return 0

    def remove(self) -> None:
        """End it and remove it with its data. Idempotent."""
        with contextlib.suppress(FanbenchError):  # the guard tries again when fanbench ends
            docker("rm", "--force", "--volumes", self.name)
            self.uncover()


def create(
    program: str,
    image: str,
    log: Path,
    *,
    ports: Mapping[int, int],
    files: Mapping[str, Path],
    volume: str,
    command: Sequence[str],
    environment: Mapping[str, str],
) -> Container:
    """Make a container: it maps `ports` of 127.0.0.1, mounts `files` read-only, and keeps its data in `volume`.

    Raises:
        FanbenchError: docker refuses.
    """
    name = f"fanbench-{os.getpid()}-{program}-{secrets.token_hex(4)}"
    container = Container(name, program, log, when_killed(["docker", "rm", "--force", "--volumes", name]))
    try:
        docker(*create_words(name, program, image, ports, files, volume, command, environment))
    except BaseException:
        container.remove()
        raise
    return container


def create_words(
    name: str,
    program: str,
    image: str,
    ports: Mapping[int, int],
    files: Mapping[str, Path],
    volume: str,
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """The arguments after `docker`.

    The host name is the program's, as in docker-compose.yml, because RabbitMQ stores it.
    """
    words = ["create", "--name", name, "--label", LABEL, "--hostname", program, "--log-driver", "none"]
    for here, inside in ports.items():
        words += ["--publish", f"127.0.0.1:{here}:{inside}"]
    for target, source in files.items():
        words += ["--mount", f"type=bind,source={source},target={target},readonly"]
    for variable, value in (environment or {}).items():
        words += ["--env", f"{variable}={value}"]
    return [*words, "--volume", volume, image, *command]


class ContainerProcess:
    """One start of a container, with the interface of core.process.Child (see running.Started)."""

    def __init__(self, container: Container, client: Child, pid: int) -> None:
        self._container = container
        self._client = client
        self._pid = pid if pid and _is_first_inside(pid) else None
        self._paused = False

    @property
    def pid(self) -> int | None:
        """The pid of its first process on this machine; None if the daemon runs elsewhere or in a virtual machine."""
        return self._pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or None while it runs: `docker start --attach` exits with the container's code."""
        return self._client.returncode

    def last_words(self) -> str:
        """The end of its log on one line, for an error."""
        return self._client.last_words()

    def send_signal(self, sig: signal.Signals) -> None:
        """SIGSTOP and SIGCONT pause and resume all its processes; other signals go to the first.

        No error if it is gone.
        """
        with contextlib.suppress(FanbenchError):
            if sig == signal.SIGSTOP:
                self._do("pause")
                self._paused = True
            elif sig == signal.SIGCONT:
                self._continue()
            else:
                self._do("kill", "--signal", str(int(sig)))

    def stop(self, grace_s: float) -> None:
        """SIGTERM, wait `grace_s` seconds, then SIGKILL. Idempotent."""
        if self.returncode is None:
            with contextlib.suppress(FanbenchError):
                self._continue()
                self._do("stop", "--time", f"{grace_s:.0f}")
                self._client.wait(_GRACE_S)
        self.kill()

    def kill(self) -> None:
        """SIGKILL; return when it has ended and its ports are free."""
        if self.returncode is None:
            with contextlib.suppress(FanbenchError):  # it has ended, or never started
                self._continue()
                self._do("kill")
                self._client.wait(_GRACE_S)
        self._client.kill()

    def _continue(self) -> None:
        if self._paused:
            self._paused = False
            self._do("unpause")

    def _do(self, *words: str) -> None:
        docker(*words, self._container.name)


def _is_first_inside(pid: int) -> bool:
    """Whether this machine's process with that number is pid 1 in a PID namespace.

    If not, it is another machine's number.
    """
    try:
        return _INSIDE.search(Path(f"/proc/{pid}/status").read_text(encoding="utf-8")) is not None
    except OSError:
        return False
