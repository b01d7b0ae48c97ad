"""Hosts on this machine: network namespaces with a broker, replicas and load workers, for loads that need many processes.

Two hosts hold the replicas, two the load workers, one the broker. The generator, Locust's master and the measuring process are outside of
them. Each load host has two addresses, which its workers use in turn.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

from brokers.programs.namespaces import NodeNetworks, why_not
from brokers.programs.valkey import valkey
from core.contracts.replica_stats import ReplicaStats
from core.errors import FanbenchError, UsageError
from core.ports import free_port
from core.process import OWN_PYTHON, Child, spawn
from harness.runner.deployment import Deployment
from harness.runner.polling import poll
from harness.runner.processes import Children, child_env, locustfile_path
from harness.runner.replicas_elsewhere import NotReadyError, ReplicaElsewhere

REPLICA_HOSTS, LOAD_HOSTS = 2, 2
BROKER_PORT, FIRST_PORT = 6379, 8000
READY_S = 90.0
_SECOND_ADDRESS = 100
"""The last number of a load host's second address, minus the host's index."""
_AGAIN = "while :; do {command}; sleep 0.2; done"
"""A worker ends with each test, and begins again for the next."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A host: the address of its network, and the beginning of a command there."""

    address: str
    enter: list[str]


class Hosts:
    """Everything runs while the `with` block does; `replicas` and `workers` are its processes.

    Raises:
        UsageError: this machine can make no network namespaces; the message says why, and what to do.
        FanbenchError: a program did not start.
    """

    def __init__(self, replicas: int, workers: int, clients: int, folder: Path) -> None:
        self.replicas: list[Child] = []
        self.workers: list[Child] = []
        self.asked: list[ReplicaElsewhere] = []
        """The replicas, to query their own counts."""
        self._counts = replicas, workers, clients
        self._folder = folder
        self._children = Children()
        self._networks: NodeNetworks | None = None
        self.master_port = free_port()

    def __enter__(self) -> Hosts:
        if (reason := why_not()) is not None:
            raise UsageError(f"hosts on one machine: {reason}")
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _start(self) -> None:
        count = 1 + REPLICA_HOSTS + LOAD_HOSTS
        networks = self._networks = NodeNetworks(count, self._folder)
        places = [_Place(one.rpartition(":")[0], networks.enter(one)) for one in networks.addresses(count)]
        network, _, _ = places[0].address.rpartition(".")
        self.here = f"{network}.1"
        """This machine's address, for those on the hosts."""
        broker, serving, loading = places[0], places[1 : 1 + REPLICA_HOSTS], places[1 + REPLICA_HOSTS :]
        self._start_broker(broker)
        replicas, workers, clients = self._counts
        for number in range(replicas):
            self._start_replica(number, serving[number % REPLICA_HOSTS], clients)
        sources = [self._with_second_address(place, number) for number, place in enumerate(loading)]
        for number in range(workers):
            self._start_worker(number, loading[number % LOAD_HOSTS], sources[number % LOAD_HOSTS])
        for child, replica in zip(self.replicas, self.asked, strict=True):
            poll(f"{child.name} ready", READY_S, partial(_ready, replica), [child])

    def _start_broker(self, place: _Place) -> None:
        words = [
            valkey.require(),
            "--bind",
            place.address,
            "--port",
            BROKER_PORT,
            "--save",
            "",
            "--protected-mode",
            "no",
        ]
        command = [*place.enter, *map(str, words)]
        broker = self._children.add(spawn("valkey", command, self._folder / "valkey.log", cwd=self._folder))
        self.broker = broker
        self.broker_url = f"redis://{place.address}:{BROKER_PORT}"

    def _start_replica(self, number: int, place: _Place, clients: int) -> None:
        port, name = FIRST_PORT + number, f"replica-{number + 1:02d}"
        env = child_env(
            {"host": place.address, "port": port, "server": name, "broker_url": self.broker_url, "max_clients": clients}
        )
        command = [*place.enter, *OWN_PYTHON, "-m", "server"]
        child = spawn(name, command, self._folder / f"{name}.log", env=env)
        self.replicas.append(self._children.add(child))
        self.asked.append(ReplicaElsewhere(f"http://{place.address}:{port}"))

    def _start_worker(self, number: int, place: _Place, sources: Sequence[str]) -> None:
        words = [*OWN_PYTHON, "-m", "load", "-f", locustfile_path("sse.py"), "--worker", "--skip-log-setup"]
        words += ["--master-host", self.here, "--master-port", str(self.master_port)]
        again = _AGAIN.format(command=shlex.join(map(str, words)))
        name = f"worker-{number + 1:02d}"
        env = child_env({"load_source_addresses": ",".join(sources)})
        child = spawn(name, [*place.enter, "sh", "-c", again], self._folder / f"{name}.log", env=env, cwd=self._folder)
        self.workers.append(self._children.add(child))

    def _with_second_address(self, place: _Place, number: int) -> list[str]:
        network, _, _ = place.address.rpartition(".")
        second = f"{network}.{_SECOND_ADDRESS + number}"
        command = [*place.enter, "ip", "address", "add", f"{second}/24", "dev", "eth0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        if done.returncode:
            raise FanbenchError(f"a second address for {place.address}: {done.stderr.strip()}")
        return [place.address, second]

    @property
    def urls(self) -> tuple[str, ...]:
        """Of the replicas."""
        return tuple(replica.url for replica in self.asked)

    @property
    def deployment(self) -> Deployment:
        """The deployment, as `--replicas-at` and its related options would describe it."""
        return Deployment(self.urls, self.urls, len(self.workers), self.here, self.master_port)

    def stats(self) -> list[ReplicaStats | None]:
        """The replicas' own counts; None for one that does not answer."""
        return [replica.stats() for replica in self.asked]

    def _end(self) -> None:
        self._children.stop()
        if self._networks is not None:
            self._networks.close()


def _ready(replica: ReplicaElsewhere) -> bytes | None:
    try:
        return replica.ask("/readyz")
    except NotReadyError:
        return None
