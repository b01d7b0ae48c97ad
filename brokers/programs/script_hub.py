"""Hubs of examples/hubs: scripts that receive events by HTTP and stream them themselves."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from brokers.programs.finding import require
from brokers.programs.libraries import Executable, Need, NodeLibrary, PythonLibrary
from brokers.programs.probe import answers
from brokers.programs.running import Running, launch
from core.ports import free_ports
from core.process import spawn
from core.resources import resource_folder


@dataclass(frozen=True, slots=True)
class ScriptHub:
    """Runs `script` with the ports of its `listeners` as arguments. It has no features."""

    name: str
    script: str
    need: Need
    install_hint: str
    listeners: tuple[str, ...] = ("http",)
    asked: str = "/"
    """The path whose answer shows that it is ready."""
    answer: str = "HTTP/1."
    """What that answer contains."""
    starts_more: bool = False
    """Whether the script starts processes, and ends them when it is told to end."""

    def find(self) -> Path | None:
        """Its script, if what it needs is installed."""
        path = resource_folder("hubs") / self.script
        return path if path.is_file() and self.need.here else None

    def require(self) -> Path:
        """The script; see Program."""
        return require(self.name, self.find(), self.install_hint)

    def version(self) -> str:
        """The version of what it needs."""
        return self.need.version()

    def start(self, folder: Path, features: Collection[str] = ()) -> Running:  # noqa: ARG002 - see Program
        """Run it; see Program."""
        script, ports = self.require(), free_ports(len(self.listeners))
        folder.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [*self.need.interpreter, script, *map(str, ports)]
        exchange = [(f"GET {self.asked} HTTP/1.0\r\n\r\n".encode(), self.answer.encode())]
        return launch(
            Running(
                name=self.name,
                listeners={name: f"127.0.0.1:{port}" for name, port in zip(self.listeners, ports, strict=True)},
                data=folder / f"{self.name}-data",
                spawn=lambda: spawn(
                    self.name,
                    command,
                    folder / f"{self.name}.log",
                    env=self.need.environment,
                    starts_more=self.starts_more,
                ),
                ready=lambda: answers(ports[0], exchange),
            )
        )


_BY_NPM = "run `make hubs`, or: npm install --prefix ~/.cache/fanbench/hubs "

sse_starlette = ScriptHub(
    "sse-starlette",
    "sse_starlette_hub.py",
    PythonLibrary("sse-starlette", "sse_starlette"),
    "pip install 'fanbench[anti-patterns]'",
)
fastapi = ScriptHub(
    "fastapi", "fastapi_hub.py", PythonLibrary("fastapi", "fastapi.sse"), "pip install 'fastapi>=0.135'"
)
better_sse = ScriptHub("better-sse", "better_sse_hub.cjs", NodeLibrary("better-sse"), f"{_BY_NPM}better-sse")
durable_streams = ScriptHub(
    "durable-streams",
    "durable_streams_hub.cjs",
    NodeLibrary("@durable-streams/server"),
    f"{_BY_NPM}@durable-streams/server",
)
pushpin = ScriptHub(
    "pushpin",
    "pushpin_hub.py",
    Executable("pushpin"),
    "apt install pushpin",
    ("http", "control"),
    asked="/sse?topic=ready",
    answer=": open",  # before, it answers 502 while its parts find one another
    starts_more=True,
)
