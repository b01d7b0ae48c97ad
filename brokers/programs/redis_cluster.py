"""Redis Cluster: three primaries that share the slots, with a replica each, of valkey-server or redis-server."""

from __future__ import annotations

import binascii
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from brokers.programs.cluster import Cluster, wait_until
from brokers.programs.cluster_settings import Setting, defaults
from brokers.programs.probe import redis_answers
from brokers.programs.redis_ask import Reply, ask, ask_info
from brokers.programs.running import Running
from brokers.programs.valkey import RedisLike, valkey
from core.errors import FanbenchError
from core.ports import free_ports
from core.process import spawn

PRIMARIES = 3
SLOTS = 16_384

_SETTINGS = (
    Setting("node_timeout_ms", 2000, "how long a node must be silent before the others call it down"),
    Setting("fsync_every_s", 1, "0: the append-only file is synced at each write (always); 1: each second (everysec)"),
)


@dataclass(frozen=True, slots=True)
class RedisCluster:
    """Feature `durable`: an append-only file on each server."""

    server: RedisLike
    memory_mb: int
    settings: tuple[Setting, ...] = _SETTINGS

    @property
    def name(self) -> str:
        """valkey-cluster."""
        return f"{self.server.name}-cluster"

    @property
    def install_hint(self) -> str:
        """The server's."""
        return self.server.install_hint

    def find(self) -> Path | None:
        """The server's executable."""
        return self.server.find()

    def require(self) -> Path:
        """The server's executable; see Program."""
        return self.server.require()

    def version(self) -> str:
        """The server's."""
        return self.server.version()

    def start(self, folder: Path, features: Collection[str] = ()) -> Cluster:
        """Run it with the defaults; see Program."""
        return self.start_with(folder, features, defaults(self.settings))

    def start_with(self, folder: Path, features: Collection[str], values: Mapping[str, int]) -> Cluster:
        """Run it; see ClusterProgram."""
        executable = self.require()
        data = folder / f"{self.name}-data"
        data.mkdir(parents=True, exist_ok=True)
        # The bus has a port of its own: by default it is 10,000 beyond the other, which may not exist.
        free = free_ports(4 * PRIMARIES)
        ports, buses = free[: 2 * PRIMARIES], free[2 * PRIMARIES :]
        nodes = [
            self._node(executable, folder, data, port, bus, features, values, number)
            for number, (port, bus) in enumerate(zip(ports, buses, strict=True), 1)
        ]
        return Cluster(
            name=self.name,
            listeners={"redis": ",".join(f"127.0.0.1:{port}" for port in ports)},
            data=data,
            nodes=nodes,
            whole=partial(_whole, ports),
            leader=partial(_leader, dict(zip(ports, nodes, strict=True))),
            form=partial(_form, ports, buses),
            settings=values,
        ).first_start()

    def _node(
        self,
        executable: Path,
        folder: Path,
        data: Path,
        port: int,
        bus: int,
        features: Collection[str],
        values: Mapping[str, int],
        number: int,
    ) -> Running:
        home = data / f"node-{number}"
        home.mkdir(exist_ok=True)
        options = {
            "port": port,
            "bind": "127.0.0.1",
            "dir": home,
            "save": "",
            "cluster-enabled": "yes",
            "cluster-port": bus,
            "cluster-node-timeout": values["node_timeout_ms"],
            "appendonly": "yes" if "durable" in features else "no",
            "appendfsync": "everysec" if values["fsync_every_s"] else "always",
            "repl-diskless-sync-delay": 0,
        }
        command = [str(executable), *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
        name = f"{self.name}-{number}"
        return Running(
            name=name,
            listeners={"redis": f"127.0.0.1:{port}"},
            data=home,
            spawn=lambda: spawn(name, command, folder / f"{name}.log", cwd=home),
            ready=lambda: redis_answers(port),
        )


def _form(ports: Sequence[int], buses: Sequence[int]) -> None:
    """Give each primary its share of the slots, introduce all, and make the others replicas."""
    share = SLOTS // PRIMARIES + 1
    for place, port in enumerate(ports[:PRIMARIES]):
        first, last = place * share, min((place + 1) * share, SLOTS) - 1
        ask(port, "CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
        ask(port, "CLUSTER", "SET-CONFIG-EPOCH", str(place + 1))
    for port, bus in zip(ports[1:], buses[1:], strict=True):
        ask(ports[0], "CLUSTER", "MEET", "127.0.0.1", str(port), str(bus))
    names = [str(ask(port, "CLUSTER", "MYID")) for port in ports[:PRIMARIES]]
    for port, name in zip(ports[PRIMARIES:], names, strict=True):
        wait_until(partial(_knows, port, name), "the nodes know one another")
        ask(port, "CLUSTER", "REPLICATE", name)


def _knows(port: int, name: str) -> bool:
    """Whether a node has heard of another one, by gossip."""
    return name in str(ask(port, "CLUSTER", "NODES"))


def _owners(port: int) -> list[tuple[range, list[int]]]:
    """Ranges of slots, each with its primary's port and those of its replicas, as this node sees them."""
    found: Reply = ask(port, "CLUSTER", "SLOTS")
    assert isinstance(found, list)
    return [
        (range(int(row[0]), int(row[1]) + 1), [int(node[1]) for node in row[2:]])  # type: ignore[arg-type, index]
        for row in found
        if isinstance(row, list)
    ]


def _whole(ports: Sequence[int]) -> bool:
    for port in ports:
        if ask_info(port, "CLUSTER", "INFO")["cluster_state"] != "ok":
            return False
        owners = _owners(port)
        if sum(len(slots) for slots, _ in owners) != SLOTS or {p for _, all_ in owners for p in all_} != set(ports):
            return False
        told = ask_info(port, "INFO", "replication")
        if told["role"] == "slave" and told["master_link_status"] != "up":
            return False
    return True


def _leader(nodes: Mapping[int, Running], _features: Collection[str], topic: str) -> Running:
    slot = slot_of(topic)
    for port in nodes:
        try:
            owners = _owners(port)
        except OSError:
            continue
        for slots, (primary, *_) in owners:
            if slot in slots:
                return nodes[primary]
    raise FanbenchError(f"no node of the cluster names a primary for the topic '{topic}'; see their logs")


def slot_of(key: str) -> int:
    """The slot of a key: CRC-16 (XMODEM), of what stands in braces if something does.

    Source: Redis Cluster specification, "Key distribution model".
    """
    data = key.encode()
    start = data.find(b"{")
    end = data.find(b"}", start + 1)
    if start >= 0 and end > start + 1:
        data = data[start + 1 : end]
    return binascii.crc_hqx(data, 0) % SLOTS


valkey_cluster = RedisCluster(valkey, memory_mb=46)
