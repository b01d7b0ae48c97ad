"""What decides how long a cluster's failover takes, declared by its program and set by a person."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from brokers.programs.api import Program
from brokers.programs.cluster import Cluster
from core.errors import UsageError, nearest


@dataclass(frozen=True, slots=True)
class Setting:
    """What decides how long a failover takes: shown beside each result, and set by `?name=value` after a contender's name."""

    name: str
    default: int
    meaning: str


class ClusterProgram(Program, Protocol):
    """A broker product that runs as several nodes."""

    @property
    def settings(self) -> tuple[Setting, ...]:
        """What may be set."""

    @property
    def memory_mb(self) -> int:
        """Resident memory of all nodes together before any client, about."""

    def start_with(self, folder: Path, features: Collection[str], values: Mapping[str, int], /) -> Cluster:
        """As `Program.start`, with a value for each setting."""


@dataclass(frozen=True, slots=True)
class Configured:
    """A cluster program with settings that a person chose; a Program."""

    program: ClusterProgram
    values: Mapping[str, int]

    @property
    def name(self) -> str:
        """The program's."""
        return self.program.name

    @property
    def install_hint(self) -> str:
        """The program's."""
        return self.program.install_hint

    def find(self) -> Path | None:
        """The program's executable; see Program."""
        return self.program.find()

    def require(self) -> Path:
        """The program's executable; see Program."""
        return self.program.require()

    def version(self) -> str:
        """The program's; see Program."""
        return self.program.version()

    def start(self, folder: Path, features: Collection[str] = ()) -> Cluster:
        """Run it with the settings; see Program."""
        return self.program.start_with(folder, features, self.values)


def defaults(settings: Sequence[Setting]) -> dict[str, int]:
    """Each setting's default by its name."""
    return {setting.name: setting.default for setting in settings}


def chosen(program: str, settings: Sequence[Setting], given: Mapping[str, str]) -> dict[str, int]:
    """The value of each setting, where `given` are those that a person chose.

    Raises:
        UsageError: the program has no such setting, or it takes no such value.
    """
    values = defaults(settings)
    for name, text in given.items():
        if name not in values:
            raise UsageError(f"{program} has no setting '{name}'; {nearest(name, list(values))}")
        if not (text.isascii() and text.isdigit()):
            raise UsageError(f"{program}?{name}={text}: not a whole number; its default is {values[name]}")
        values[name] = int(text)
    return values
