"""A broker product that runs as several nodes: its settings and its nodes' ingredients."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from brokers.programs.api import Program
from brokers.programs.cluster import Cluster
from brokers.programs.namespaces import NodeNetworks
from brokers.programs.networks import Loopback, Network
from brokers.programs.running import START_TIMEOUT_S, STOP_GRACE_S, Running
from brokers.programs.settings import Setting
from core.process import spawn

APART = "apart"
"""The feature of a cluster whose nodes run in separate networks."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """The ingredients of a cluster's nodes."""

    name: str
    executable: Path
    folder: Path
    """The folder of the logs."""
    data: Path
    """The folder with everything that the nodes store."""
    features: Collection[str]
    values: Mapping[str, int]
    """The value of each setting."""
    network: Network
    """Where the nodes run."""

    def home(self, node: str) -> Path:
        """The node's folder."""
        home = self.data / node
        home.mkdir(parents=True, exist_ok=True)
        return home

    def node(
        self,
        node: str,
        command: Sequence[str | Path],
        listeners: Mapping[str, str],
        ready: Callable[[], bool],
        *,
        env: Mapping[str, str] | None = None,
        start_timeout_s: float = START_TIMEOUT_S,
        stop_grace_s: float = STOP_GRACE_S,
    ) -> Running:
        """Make a node without starting it; it runs in its `home`."""
        name, home = f"{self.name}-{node}", self.home(node)
        command = [*self.network.enter(next(iter(listeners.values()))), *command]
        return Running(
            name=name,
            listeners=listeners,
            data=home,
            spawn=partial(spawn, name, command, self.folder / f"{name}.log", env=env, cwd=home),
            ready=ready,
            start_timeout_s=start_timeout_s,
            stop_grace_s=stop_grace_s,
        )


@dataclass(frozen=True, slots=True)
class ClusterProgram:
    """A Program whose nodes run the executable of `server`."""

    name: str
    server: Program
    memory_mb: int
    """Approximate resident memory of all nodes before any client."""
    nodes: int
    settings: tuple[Setting, ...]
    build: Callable[[Blueprint], Cluster]
    """Makes the cluster without starting it."""
    values: tuple[tuple[str, int], ...] = ()
    """Settings that the user chose."""

    @property
    def install_hint(self) -> str:
        """The server's."""
        return self.server.install_hint

    def find(self) -> Path | None:
        """The server's executable; see Program."""
        return self.server.find()

    def require(self) -> Path:
        """The server's executable; see Program."""
        return self.server.require()

    def version(self) -> str:
        """The server's; see Program."""
        return self.server.version()

    def with_values(self, values: Mapping[str, int]) -> ClusterProgram:
        """The same program with the given settings."""
        return replace(self, values=tuple(values.items()))

    def start(self, folder: Path, features: Collection[str] = ()) -> Cluster:
        """Run it; see Program. With the feature APART, each node has a separate network whose links can be cut."""
        values = {setting.name: setting.default for setting in self.settings} | dict(self.values)
        executable, data = self.require(), folder / f"{self.name}-data"
        data.mkdir(parents=True, exist_ok=True)
        network: Network = NodeNetworks(self.nodes, folder) if APART in features else Loopback()
        try:
            cluster = self.build(Blueprint(self.name, executable, folder, data, features, values, network))
        except BaseException:
            network.close()
            raise
        return cluster.first_start()
