"""A Python hub of examples/hubs, which receives events by HTTP and streams them itself."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from brokers.programs.finding import require
from brokers.programs.probe import http_answers
from brokers.programs.running import Running, launch
from core.ports import free_port
from core.process import OWN_PYTHON, spawn
from core.resources import resource_folder


@dataclass(frozen=True, slots=True)
class ScriptHub:
    """Runs `script` with its port as the only argument. It has no features."""

    name: str
    script: str
    library: str
    install_hint: str

    def find(self) -> Path | None:
        """Its script, if its library is installed."""
        path = resource_folder("hubs") / self.script
        return path if path.is_file() and find_spec(self.library.replace("-", "_")) is not None else None

    def require(self) -> Path:
        """The script; see Program."""
        return require(self.name, self.find(), self.install_hint)

    def version(self) -> str:
        """The version of its library."""
        try:
            return version(self.library) if self.find() else ""
        except PackageNotFoundError:
            return ""

    def start(self, folder: Path, features: Collection[str] = ()) -> Running:  # noqa: ARG002 - see Program
        """Run it; see Program."""
        script, port = self.require(), free_port()
        folder.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [*OWN_PYTHON, script, str(port)]
        return launch(
            Running(
                name=self.name,
                listeners={"http": f"127.0.0.1:{port}"},
                data=folder / f"{self.name}-data",
                spawn=lambda: spawn(self.name, command, folder / f"{self.name}.log"),
                ready=lambda: http_answers(port),
            )
        )


sse_starlette = ScriptHub(
    "sse-starlette", "sse_starlette_hub.py", "sse-starlette", "pip install 'fanbench[anti-patterns]'"
)
