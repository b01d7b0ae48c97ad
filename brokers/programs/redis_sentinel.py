"""A primary with two replicas and three Sentinels, with valkey-server or redis-server."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

from brokers.programs.cluster import Cluster, wait_until
from brokers.programs.cluster_program import Blueprint, ClusterProgram
from brokers.programs.networks import host_of, port_of
from brokers.programs.redis_ask import ask, ask_info, ask_pairs
from brokers.programs.redis_nodes import FSYNC, SHARED, config_text, server_node, server_options
from brokers.programs.running import Running
from brokers.programs.settings import Setting
from brokers.programs.shared_config import read_shared
from brokers.programs.valkey import redis, valkey
from core.errors import FanbenchError

SERVICE = "fanbench"
"""The name under which the Sentinels know the primary."""
NODES = 3
_PRIMARY = "@PRIMARY@"
_DOWN_AFTER = f"sentinel down-after-milliseconds {SERVICE}"
_FAILOVER_TIMEOUT = f"sentinel failover-timeout {SERVICE}"
_SENTINEL = read_shared("redis/sentinel.conf")

_SETTINGS = (
    Setting(
        "down_after_ms",
        int(_SENTINEL[_DOWN_AFTER]),
        "how long the primary must be silent before a Sentinel declares it down",
        1,
    ),
    Setting(
        "failover_timeout_ms",
        int(_SENTINEL[_FAILOVER_TIMEOUT]),
        "time after which a stalled failover is retried",
        1,
    ),
    Setting(
        "min_replicas_to_write",
        int(SHARED["min-replicas-to-write"]),
        "replicas that must be connected for the primary to accept a write",
        0,
        NODES - 1,
    ),
    FSYNC,
)


def _build(plan: Blueprint) -> Cluster:
    """Feature `durable`: an append-only file on each server. Listener `sentinel`: the Sentinels' addresses."""
    # Each Sentinel shares a host with a server, so a server that is cut off has one on its side.
    servers, sentinels = plan.network.addresses(NODES), plan.network.addresses(NODES)
    nodes = [_server(plan, number, address, servers[0]) for number, address in enumerate(servers, 1)]
    return Cluster(
        name=plan.name,
        listeners={"sentinel": ",".join(sentinels)},
        data=plan.data,
        nodes=nodes,
        watchers=[_sentinel(plan, number, address, servers[0]) for number, address in enumerate(sentinels, 1)],
        whole=partial(_whole, servers, sentinels),
        leader=partial(_leader, dict(zip(servers, nodes, strict=True)), sentinels),
        # A Sentinel that finds a primary without replicas looks again only after ten seconds.
        form=lambda: wait_until(lambda: _online(servers[0]) == NODES - 1, f"{plan.name}: the replicas follow"),
        network=plan.network,
    )


def _server(plan: Blueprint, number: int, address: str, primary: str) -> Running:
    node = f"server-{number}"
    # A file, because Sentinel makes each server write its role into it, so that the role survives a restart.
    config = plan.home(node) / "server.conf"
    options = server_options(plan, node, address) | {"min-replicas-to-write": plan.values["min_replicas_to_write"]}
    options |= {} if address == primary else {"replicaof": f"{host_of(primary)} {port_of(primary)}"}
    config.write_text(config_text(options), encoding="utf-8")
    return server_node(plan, node, [plan.executable, config], address)


def _sentinel(plan: Blueprint, number: int, address: str, primary: str) -> Running:
    node, values = f"sentinel-{number}", plan.values
    config = plan.home(node) / "sentinel.conf"
    own: dict[str, object] = {"port": port_of(address), "bind": host_of(address), "dir": plan.home(node)}
    own |= _SENTINEL | {_DOWN_AFTER: values["down_after_ms"], _FAILOVER_TIMEOUT: values["failover_timeout_ms"]}
    monitored = f"{host_of(primary)} {port_of(primary)}"
    config.write_text(config_text(own).replace(_PRIMARY, monitored), encoding="utf-8")
    return server_node(plan, node, [plan.executable, config, "--sentinel"], address)


def _whole(servers: Collection[str], sentinels: Collection[str]) -> bool:
    """Whether the Sentinels agree on a primary, know all servers and each other, and the other servers follow it."""
    named = set()
    for address in sentinels:
        facts = ask_pairs(address, "SENTINEL", "MASTER", SERVICE)
        if facts["flags"] != "master" or facts["num-other-sentinels"] != str(len(sentinels) - 1):
            return False
        if facts["num-slaves"] != str(len(servers) - 1):
            return False
        named.add(f"{facts['ip']}:{facts['port']}")
    if len(named) != 1:
        return False
    (primary,) = named
    if _online(primary) != len(servers) - 1:
        return False
    told = [ask_info(address, "INFO", "replication") for address in servers if address != primary]
    return all(one["role"] == "slave" and one["master_link_status"] == "up" for one in told)


def _online(primary: str) -> int:
    """How many replicas follow the server at this address and are in sync with it."""
    told = ask_info(primary, "INFO", "replication")
    return sum(name.startswith("slave") and "state=online" in value for name, value in told.items())


def _leader(
    nodes: Mapping[str, Running], sentinels: Collection[str], _features: Collection[str], _topic: str
) -> Running:
    for address in sentinels:
        try:
            found = ask(address, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        except OSError:
            continue
        if isinstance(found, list) and (primary := f"{found[0]}:{found[1]}") in nodes:
            return nodes[primary]
    raise FanbenchError("no Sentinel names a primary; see their logs")


valkey_sentinel = ClusterProgram("valkey-sentinel", valkey, 40, NODES, _SETTINGS, _build)
redis_sentinel = ClusterProgram("redis-sentinel", redis, 76, NODES, _SETTINGS, _build)
