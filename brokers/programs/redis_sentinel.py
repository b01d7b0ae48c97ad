"""A primary with two replicas and three Sentinels, of valkey-server or redis-server."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from brokers.programs.cluster import Cluster, wait_until
from brokers.programs.cluster_settings import Setting, defaults
from brokers.programs.probe import redis_answers
from brokers.programs.redis_ask import ask, ask_info, ask_pairs
from brokers.programs.running import Running
from brokers.programs.valkey import RedisLike, redis, valkey
from core.errors import FanbenchError
from core.ports import free_ports
from core.process import spawn

SERVICE = "fanbench"
"""The name under which the Sentinels know the primary."""
NODES = 3
QUORUM = 2

_SETTINGS = (
    Setting("down_after_ms", 1000, "how long the primary must be silent before a Sentinel calls it down"),
    Setting("failover_timeout_ms", 10_000, "after which a failover that stands still is tried again"),
    Setting("min_replicas_to_write", 0, "replicas that must be there for the primary to take a write"),
    Setting("fsync_every_s", 1, "0: the append-only file is synced at each write (always); 1: each second (everysec)"),
)


@dataclass(frozen=True, slots=True)
class RedisSentinel:
    """Feature `durable`: an append-only file on each server. Listener `sentinel`: the Sentinels' addresses."""

    server: RedisLike
    memory_mb: int
    settings: tuple[Setting, ...] = _SETTINGS

    @property
    def name(self) -> str:
        """valkey-sentinel or redis-sentinel."""
        return f"{self.server.name}-sentinel"

    @property
    def install_hint(self) -> str:
        """The server's."""
        return self.server.install_hint

    def find(self) -> Path | None:
        """The server's executable, which is also Sentinel."""
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
        ports = free_ports(2 * NODES)
        servers, sentinels = ports[:NODES], ports[NODES:]
        nodes = [
            self._server(executable, folder, data, port, servers[0], features, values, number)
            for number, port in enumerate(servers, 1)
        ]
        watchers = [
            self._sentinel(executable, folder, data, port, servers[0], values, number)
            for number, port in enumerate(sentinels, 1)
        ]
        by_port = dict(zip(servers, nodes, strict=True))
        return Cluster(
            name=self.name,
            listeners={"sentinel": ",".join(f"127.0.0.1:{port}" for port in sentinels)},
            data=data,
            nodes=nodes,
            watchers=watchers,
            whole=partial(_whole, servers, sentinels),
            leader=partial(_leader, by_port, sentinels),
            # A Sentinel that finds a primary without replicas looks again after ten seconds only.
            form=lambda: wait_until(lambda: _online(servers[0]) == NODES - 1, f"{self.name}: the replicas follow"),
            settings=values,
        ).first_start()

    def _server(
        self,
        executable: Path,
        folder: Path,
        data: Path,
        port: int,
        primary: int,
        features: Collection[str],
        values: Mapping[str, int],
        number: int,
    ) -> Running:
        home = data / f"server-{number}"
        home.mkdir(exist_ok=True)
        # A file, since Sentinel has each server write into it whom it follows: so that it is that, too, after a restart.
        config = home / "server.conf"
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {home}",
            'save ""',
            f"appendonly {'yes' if 'durable' in features else 'no'}",
            f"appendfsync {'everysec' if values['fsync_every_s'] else 'always'}",
            f"min-replicas-to-write {values['min_replicas_to_write']}",
            "repl-diskless-sync-delay 0",
            "replica-serve-stale-data yes",
        ]
        lines += [] if port == primary else [f"replicaof 127.0.0.1 {primary}"]
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        name = f"{self.name}-server-{number}"
        return Running(
            name=name,
            listeners={"redis": f"127.0.0.1:{port}"},
            data=home,
            spawn=lambda: spawn(name, [executable, config], folder / f"{name}.log", cwd=home),
            ready=lambda: redis_answers(port),
        )

    def _sentinel(
        self,
        executable: Path,
        folder: Path,
        data: Path,
        port: int,
        primary: int,
        values: Mapping[str, int],
        number: int,
    ) -> Running:
        home = data / f"sentinel-{number}"
        home.mkdir(exist_ok=True)
        config = home / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {home}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary} {QUORUM}\n"
            f"sentinel down-after-milliseconds {SERVICE} {values['down_after_ms']}\n"
            f"sentinel failover-timeout {SERVICE} {values['failover_timeout_ms']}\n",
            encoding="utf-8",
        )
        name = f"{self.name}-sentinel-{number}"
        return Running(
            name=name,
            listeners={"redis": f"127.0.0.1:{port}"},
            data=home,
            spawn=lambda: spawn(name, [executable, config, "--sentinel"], folder / f"{name}.log", cwd=home),
            ready=lambda: redis_answers(port),
        )


def _whole(servers: Collection[int], sentinels: Collection[int]) -> bool:
    """Whether the Sentinels agree on a primary, whom all others follow, and know all of them and one another."""
    named = set()
    for port in sentinels:
        facts = ask_pairs(port, "SENTINEL", "MASTER", SERVICE)
        if facts["flags"] != "master" or facts["num-other-sentinels"] != str(len(sentinels) - 1):
            return False
        if facts["num-slaves"] != str(len(servers) - 1):
            return False
        named.add(int(facts["port"]))
    if len(named) != 1:
        return False
    (primary,) = named
    if _online(primary) != len(servers) - 1:
        return False
    return all(ask_info(port, "INFO", "replication")["role"] == "slave" for port in servers if port != primary)


def _online(primary: int) -> int:
    """How many replicas follow the server at this port and have all that it has."""
    told = ask_info(primary, "INFO", "replication")
    return sum(name.startswith("slave") and "state=online" in value for name, value in told.items())


def _leader(
    nodes: Mapping[int, Running], sentinels: Collection[int], _features: Collection[str], _topic: str
) -> Running:
    for port in sentinels:
        try:
            found = ask(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        except OSError:
            continue
        if isinstance(found, list) and int(str(found[1])) in nodes:
            return nodes[int(str(found[1]))]
    raise FanbenchError("no Sentinel names a primary; see their logs")


valkey_sentinel = RedisSentinel(valkey, memory_mb=40)
redis_sentinel = RedisSentinel(redis, memory_mb=76)
