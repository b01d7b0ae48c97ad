"""The demo under its own project name, port and image tag, used as people do: docker compose, curl."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.ports import free_ports
from core.sse import SSEEvent, SSEParser
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
PROJECT_LABEL = "com.docker.compose.project"


def compose_command() -> list[str]:
    """Compose v2 if it is installed, otherwise docker-compose."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]


def docker(*arguments: str) -> str:
    """Run `docker …` and return its output; raises CalledProcessError if it fails."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def why_not() -> str | None:
    """Why the demo cannot run here, or None."""
    if shutil.which("docker") is None or not (shutil.which("docker-compose") or compose_command()[0] == "docker"):
        return "docker or docker-compose is not installed"
    try:
        daemon = subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=20)
    except subprocess.TimeoutExpired:
        return "the Docker daemon does not answer within 20 s"
    return None if daemon.returncode == 0 else "no Docker daemon answers"


@dataclass
class Demo:
    """One project on free ports; `profiles` are those of the command line."""

    profiles: list[str]
    image: str
    settings: dict[str, str] = field(default_factory=dict)
    ports: list[int] = field(default_factory=lambda: free_ports(2))

    @property
    def project(self) -> str:
        return f"fanbenchtest{self.ports[0]}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def locust_url(self) -> str:
        return f"http://127.0.0.1:{self.ports[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that a user sets to run a second demo."""
        return os.environ | {
            "FANBENCH_PORT": str(self.ports[0]),
            "FANBENCH_LOCUST_PORT": str(self.ports[1]),
            "FANBENCH_IMAGE": self.image,
            "FANBENCH_RATE_HZ": "20",
            **self.settings,
        }

    def compose(self, *arguments: str) -> str:
        """Run a compose command; its output is shown when it fails."""
        flags = [word for profile in self.profiles for word in ("--profile", profile)]
        command = [*compose_command(), "-p", self.project, *flags, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=self.environment, check=False)
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def containers(self, service: str | None = None) -> dict[str, str]:
        """Id and status (`Up 3 seconds (healthy)`) of the project's running containers."""
        label = [] if service is None else ["--filter", f"label=com.docker.compose.service={service}"]
        project = ["--filter", f"label={PROJECT_LABEL}={self.project}"]
        lines = docker("ps", "--format", "{{.ID}} {{.Status}}", *project, *label).splitlines()
        return {name: status for name, _, status in (line.partition(" ") for line in lines)}

    def stats(self) -> dict[str, dict[str, Any]]:
        """Each replica's `/stats` by its name, read in its container because the proxy does not publish them."""
        ask = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:8000/stats').read().decode())"
        return {name: json.loads(docker("exec", name, "python", "-c", ask)) for name in self.containers("server")}

    def volumes(self) -> set[str]:
        """Names of the volumes that its containers use."""
        mounts = "{{range .Mounts}}{{if .Name}}{{println .Name}}{{end}}{{end}}"
        return set(docker("inspect", "--format", mounts, *self.containers()).split())

    def wait_healthy(self, count: int, timeout_s: float = 90.0) -> None:
        """Wait until `count` containers run and every one that has a health check is healthy."""

        def ready() -> bool:
            states = list(self.containers().values())
            return len(states) == count and not any("starting" in s or "unhealthy" in s for s in states)

        try:
            wait_until(ready, f"{count} containers healthy", timeout_s, every_s=0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.containers()}\n{self.compose('logs', '--tail', '20')}") from error

    @contextlib.contextmanager
    def stream(self, *curl_options: str) -> Iterator[Iterator[SSEEvent]]:
        """`curl -N` of /sse through the proxy, as events; the iterator ends with the stream."""
        curl = subprocess.Popen(
            ["curl", "-sN", "--max-time", "60", *curl_options, f"{self.url}/sse"], stdout=subprocess.PIPE
        )
        try:
            yield _events(curl)
        finally:
            curl.kill()
            curl.wait()

    def leftovers(self) -> str:
        """Containers and networks of this project, running or not."""
        label = f"label={PROJECT_LABEL}={self.project}"
        return docker("ps", "-aq", "--filter", label) + docker("network", "ls", "-q", "--filter", label)


def _events(curl: "subprocess.Popen[bytes]") -> Iterator[SSEEvent]:
    assert curl.stdout is not None
    parser = SSEParser()
    while chunk := os.read(curl.stdout.fileno(), 65536):
        yield from parser.feed(chunk)
