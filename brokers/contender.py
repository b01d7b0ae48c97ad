"""A contender: program + adapter + delivery, and how its broker is launched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

from brokers.clean_up import run_on
from brokers.per_client_server import server_missing
from brokers.programs import docker
from brokers.programs.api import Program
from brokers.programs.catalogue import CLUSTERS, SETTINGS, Launch, program_of
from brokers.programs.cluster import Cluster
from brokers.programs.cluster_program import APART
from brokers.programs.running import Running
from brokers.programs.settings import read_settings
from brokers.registry import library_missing
from core.endpoint.compared import ComparedEndpoint
from core.errors import FanbenchError, UsageError

Delivery = Literal["at-most-once", "at-least-once"]
_NOT_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class Broker(NamedTuple):
    """A broker that answers, and its URL for adapters."""

    url: str
    running: Running | Cluster | None = None
    """The program, if it is ours: a fault may kill and restart it or one of its nodes."""

    @property
    def pids(self) -> list[int]:
        """The current processes whose trees count as the broker's CPU and memory."""
        return [] if self.running is None else self.running.pids

    def shortfall(self) -> str:
        """What its program does not do although a setting asks for it; empty if it does everything."""
        running = self.running
        if not isinstance(running, Running) or running.shortfall is None or running.child is None or running.ended:
            return ""
        return running.shortfall(running.child)


@dataclass(frozen=True, slots=True)
class Contender:
    """One participant of a comparison.

    Without a program it is `memory`, or the user's own broker or endpoint at `url`.
    """

    name: str
    delivery: Delivery
    url: str = field(repr=False)
    """For adapters; `{redis}`, `{nats}` and so on are replaced with host:port of the program's listeners."""
    program: str | None = None
    features: tuple[str, ...] = ()
    """Features that the program must enable."""
    primary: bool = False
    """Whether `fanbench compare` takes it if no contender is named: the floor, and each program's first contender."""
    launch: Launch = "auto"
    """How its program is run."""
    clients_at: Literal["any node", "any node, none leads", "the leader"] = "any node"
    """For a cluster: the node that its clients are connected to."""
    of: str = ""
    """For a cluster: the single-process contender that it corresponds to."""
    given: tuple[tuple[str, str], ...] = ()
    """Settings of its program that the user chose."""
    server: str = ""
    """Which server of examples/per-client-server its replicas are; empty if they are ours."""
    anti_pattern: str = ""
    """What is wrong with it as a pattern; empty for most contenders."""
    kept: str = ""
    """How its program stores published events, as fanbench runs it; empty if it stores nothing.

    docs/brokers.md has the sources.
    """
    endpoint: ComparedEndpoint | None = None
    """The service that streams the events itself: there is no broker, and there are no replicas.

    None for most contenders.
    """

    @property
    def clustered(self) -> bool:
        """Whether its program runs as several nodes."""
        return self.program in CLUSTERS

    @property
    def settings(self) -> dict[str, int]:
        """The settings of its program or cluster, by name; empty if there are none.

        Raises:
            UsageError: one that a person chose does not exist, or takes no such value.
        """
        if self.program is None or self.program not in SETTINGS:
            return {}
        return read_settings(self.program, SETTINGS[self.program], dict(self.given))

    @property
    def durability(self) -> str:
        """How an event that no replica has read is stored, and when it is synced to disk.

        Empty for the user's own broker.

        Raises:
            UsageError: a setting that a person chose does not exist, or takes no such value.
        """
        if self.program is None or self.endpoint is not None:
            return "nothing is kept" if self.embedded else ""
        if not self.kept:
            return "nothing is kept"
        settings = self.settings
        if not (settings.get("fsync", 1) and settings.get("synchronous_commit", 1)):
            return "table on disk, no fsync before the confirm"
        for name, unit in (("fsync_every_s", "second"), ("sync_interval_s", "s")):
            if name in settings:
                every = settings[name]
                often = (
                    "every second" if every and unit == "second" else f"every {every} s" if every else "at each write"
                )
                return f"{self.kept}, fsync {often}"
        return self.kept

    @property
    def embedded(self) -> bool:
        """Whether there is no broker, and each replica generates its own events."""
        return self.url.startswith("memory:")

    @property
    def file_name(self) -> str:
        """The name without characters that a file name cannot have."""
        return _NOT_FILE_NAME.sub("-", self.name).strip("-")

    @property
    def runnable(self) -> bool:
        """Whether its program and client library are found here; the user's own broker is tried when its run starts."""
        if self.program is None:
            return True
        return self._launcher(self.program).find() is not None and self._library_missing is None

    @property
    def install_hint(self) -> str:
        """How to make it runnable: install its program or, if the program is present, its client library."""
        if self.program is None:
            return ""
        launcher = self._launcher(self.program)
        if launcher.find() is None or self._library_missing is None:
            return launcher.install_hint + self._or_docker
        return self._library_missing

    @property
    def _library_missing(self) -> str | None:
        if self.endpoint is not None:
            return None
        missing = library_missing(self.url.partition(":")[0])
        return server_missing() if missing is None and self.server else missing

    @property
    def _or_docker(self) -> str:
        if self.launch != "auto" or self.endpoint is not None or docker.why_not():
            return ""
        return ", or `--launch docker`"

    def program_version(self) -> str:
        """The program's path; empty if there is no program, or it is not found."""
        return "" if self.program is None else self._launcher(self.program).version()

    def require_runnable(self) -> None:
        """Raise UsageError, with what to do, if its client library or its program is not found here, or its image cannot be had."""
        if self.program is None:
            return
        if (missing := self._library_missing) is not None:
            raise UsageError(f"contender '{self.name}': {missing}")
        if self.clustered and self.launch == "docker":
            raise UsageError(
                f"contender '{self.name}': a cluster runs as local programs only; leave out `--launch docker`"
            )
        if self.endpoint is not None and self.launch == "docker":
            raise UsageError(
                f"contender '{self.name}': fanbench has no image of this service; leave out `--launch docker`, or start it in a "
                f"container yourself and give its url in place of program in {self.endpoint.file}"
            )
        if self.given and self.launch == "docker":
            raise UsageError(f"contender '{self.name}': a container cannot have settings; leave out `--launch docker`")
        try:
            self._launcher(self.program).require()
        except FanbenchError as error:
            raise UsageError(f"contender '{self.name}': {error}{self._or_docker}") from error

    def launched_by(self, launch: Launch) -> Contender:
        """The same contender, with its program run in that way."""
        return replace(self, launch=launch)

    def apart(self) -> Contender:
        """The same contender with its nodes in separate networks, whose links can be cut."""
        return replace(self, features=(*self.features, APART))

    def _launcher(self, program: str) -> Program:
        return program_of(program, self.launch, self.settings)

    @contextmanager
    def launched(self, folder: Path) -> Iterator[Broker]:
        """Run its program, if it has one, with its log and data in `folder`; stop it on leaving.

        Whatever it creates at the user's own broker has a unique name and is removed on leaving.

        Raises:
            FanbenchError: the program is not found, or does not start.
        """
        if self.embedded or (self.program is None and self.endpoint is not None):
            yield Broker(self.url)
            return
        if self.program is None:
            with run_on(self.url, self.delivery) as url:
                yield Broker(url)
            return
        with self.started(folder) as running:
            yield Broker(self.url.format_map(running.listeners), running)

    def started(self, folder: Path, *more_features: str) -> Running | Cluster:
        """Run its program with the features that it needs, and `more_features`.

        Raises:
            FanbenchError: the program is not found, or does not start.
        """
        assert self.program is not None
        return self._launcher(self.program).start(folder, (*self.features, *more_features))
