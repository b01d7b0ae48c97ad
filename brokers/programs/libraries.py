"""What a hub of examples/hubs needs: a package of Python or of Node, or an executable."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from brokers.programs.finding import on_path, version_of
from core.process import OWN_PYTHON

NODE_PACKAGES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fanbench" / "hubs" / "node_modules"
"""Where `make hubs` installs them."""


class Need(Protocol):
    """What a hub's script needs."""

    @property
    def interpreter(self) -> list[str | Path]:
        """The command up to the script: the interpreter and its options."""

    @property
    def environment(self) -> Mapping[str, str] | None:
        """The script's environment; None for ours."""

    @property
    def here(self) -> bool:
        """Whether it is installed."""

    def version(self) -> str:
        """Its version; '' if it is not installed."""


@dataclass(frozen=True, slots=True)
class PythonLibrary:
    """A package in this Python; `module` is what the script imports from it, because not every version has it."""

    package: str
    module: str

    @property
    def interpreter(self) -> list[str | Path]:
        """This Python."""
        return [*OWN_PYTHON]

    @property
    def environment(self) -> None:
        """Ours."""
        return None

    @property
    def here(self) -> bool:
        """Whether the module can be imported."""
        try:
            return find_spec(self.module) is not None
        except ModuleNotFoundError:  # for a module in a package that is not installed
            return False

    def version(self) -> str:
        """Of the package."""
        try:
            return version(self.package) if self.here else ""
        except PackageNotFoundError:
            return ""


@dataclass(frozen=True, slots=True)
class NodeLibrary:
    """A package of npm in NODE_PACKAGES."""

    package: str

    @property
    def interpreter(self) -> list[str | Path]:
        """Node."""
        return ["node"]

    @property
    def environment(self) -> Mapping[str, str]:
        """Our environment, with the folder of the package."""
        return os.environ | {"NODE_PATH": str(NODE_PACKAGES)}

    @property
    def here(self) -> bool:
        """Whether the package and Node are installed."""
        return self._description.is_file() and on_path("node") is not None

    @property
    def _description(self) -> Path:
        return NODE_PACKAGES / self.package / "package.json"

    def version(self) -> str:
        """Of the package."""
        return str(json.loads(self._description.read_text(encoding="utf-8"))["version"]) if self.here else ""


@dataclass(frozen=True, slots=True)
class Executable:
    """A program that the script, in Python, starts."""

    name: str

    @property
    def interpreter(self) -> list[str | Path]:
        """This Python."""
        return [*OWN_PYTHON]

    @property
    def environment(self) -> None:
        """Ours."""
        return None

    @property
    def here(self) -> bool:
        """Whether it is on the PATH, or where daemons are."""
        return on_path(self.name) is not None

    def version(self) -> str:
        """The version that it prints."""
        found = on_path(self.name)
        return version_of(found, "--version") if found is not None else ""
