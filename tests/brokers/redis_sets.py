"""Redis as in production: a primary with a replica and three Sentinels, and a cluster of three primaries.

Real programs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from brokers.programs.probe import redis_answers
from brokers.programs.valkey import valkey
from core.ports import free_ports
from core.process import Child, spawn
from tests.redis_ask import ask
from tests.waiting import wait_until

NAME = "mymaster"


class Servers:
    """Servers by their port; `stop` ends them all."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self.running: dict[int, Child] = {}

    def start(self, port: int, *words: str) -> Child:
        home = self.folder / str(port)
        home.mkdir(exist_ok=True)
        command = [valkey.require(), "--port", str(port), "--bind", "127.0.0.1", "--dir", home, "--save", "", *words]
        child = self.running[port] = spawn(f"valkey {port}", command, self.folder / f"{port}.log", cwd=home)
        self._stack.callback(child.kill)
        return child

    def sentinel(self, port: int, primary: int, epoch: int = 0) -> Child:
        """Start a Sentinel that names this primary, with the number of the failover that made it the primary."""
        config = self.folder / f"sentinel-{port}.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self.folder}\nsentinel monitor {NAME} 127.0.0.1 {primary} 2\n"
            f"sentinel down-after-milliseconds {NAME} 1000\nsentinel failover-timeout {NAME} 3000\n"
            f"sentinel config-epoch {NAME} {epoch}\n"
        )
        command = [valkey.require(), config, "--sentinel"]
        child = self.running[port] = spawn(f"sentinel {port}", command, self.folder / f"{port}.log", cwd=self.folder)
        self._stack.callback(child.kill)
        return child

    def kill(self, port: int) -> None:
        self.running[port].kill()


class Watched(Servers):
    """One primary, one replica, three sentinels."""

    ports: list[int]
    sentinels: list[int]

    def primary(self) -> int:
        _, port = ask(self.alive(self.sentinels), "SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return int(port)

    def alive(self, ports: list[int]) -> int:
        return next(port for port in ports if self.running[port].returncode is None)

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        return f"redis+sentinel://{hosts}/{NAME}"


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """Ready once every sentinel knows the replica and the other sentinels."""
    with ExitStack() as stack:
        servers = Watched(folder, stack)
        servers.ports, servers.sentinels = free_ports(2), free_ports(3)
        primary, replica = servers.ports
        servers.start(primary, "--repl-diskless-sync-delay", "0")
        servers.start(replica, "--replicaof", "127.0.0.1", str(primary), "--repl-diskless-sync-delay", "0")
        for port in servers.ports:
            wait_until(lambda port=port: redis_answers(port), f"the server at {port}", 20)
        for port in servers.sentinels:
            servers.sentinel(port, primary)
        for port in servers.sentinels:
            wait_until(lambda port=port: _knows_all(port), f"the sentinel at {port} knows all", 30)
        yield servers


def _knows_all(port: int) -> bool:
    try:
        found = ask(port, "SENTINEL", "MASTER", NAME)
    except OSError:
        return False
    facts = dict(zip(found[::2], found[1::2], strict=True))
    return (facts["num-slaves"], facts["num-other-sentinels"]) == ("1", "2")


@contextmanager
def cluster(folder: Path) -> Iterator[Servers]:
    """Three primaries with all slots; `running` has their ports."""
    with ExitStack() as stack:
        servers = Servers(folder, stack)
        # The bus needs its own port: for a high port, 10,000 above may not exist.
        free = free_ports(6)
        ports, buses = free[:3], free[3:]
        for port, bus in zip(ports, buses, strict=True):
            words = ["--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", "2000"]
            servers.start(port, *words)
        for port in ports:
            wait_until(lambda port=port: redis_answers(port), f"the server at {port}", 20)
        bounds = [(0, 5460), (5461, 10922), (10923, 16383)]
        for port, (first, last) in zip(ports, bounds, strict=True):
            ask(port, "CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
        for port, bus in zip(ports[1:], buses[1:], strict=True):
            ask(ports[0], "CLUSTER", "MEET", "127.0.0.1", str(port), str(bus))
        for port in ports:
            wait_until(
                lambda port=port: "cluster_state:ok" in ask(port, "CLUSTER", "INFO"), f"the cluster at {port}", 30
            )
        wait_until(lambda: all(len(ask(port, "CLUSTER", "SLOTS")) == 3 for port in ports), "all know all slots", 30)
        yield servers


class Split(Servers):
    """What clients see of a split brain: two primaries, and Sentinels that name one or the other."""

    old: int
    """The primary that was cut off; its Sentinel knows of no failover."""
    new: int
    lonely: int
    """The Sentinel next to the old primary."""
    others: list[int]
    """Two Sentinels, which have made the new one the primary; not started."""

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in (self.lonely, *self.others))
        return f"redis+sentinel://{hosts}/{NAME}"

    def fail_over(self, sentinels: list[int]) -> None:
        """Start these Sentinels, which name the new primary."""
        for port in sentinels:
            self.sentinel(port, self.new, epoch=1)
        for port in sentinels:
            wait_until(lambda port=port: redis_answers(port), f"the sentinel at {port}", 20)


@contextmanager
def split(folder: Path) -> Iterator[Split]:
    """Both primaries run, and the Sentinel that is cut off from the others."""
    with ExitStack() as stack:
        servers = Split(folder, stack)
        servers.old, servers.new, servers.lonely, *servers.others = free_ports(5)
        servers.start(servers.old)
        servers.start(servers.new)
        servers.sentinel(servers.lonely, servers.old)
        for port in (servers.old, servers.new, servers.lonely):
            wait_until(lambda port=port: redis_answers(port), f"the server at {port}", 20)
        yield servers
