"""A primary with two replicas and three Sentinels, of valkey-server or redis-server."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

from brokers.programs.cluster import Cluster, wait_until
from brokers.programs.cluster_program import Blueprint, ClusterProgram, Setting, listening
from brokers.programs.redis_ask import ask, ask_info, ask_pairs
from brokers.programs.redis_nodes import FSYNC, SHARED, config_text, server_node, server_options
from brokers.programs.running import Running
from brokers.programs.shared_config import read_shared
from brokers.programs.valkey import redis, valkey
from core.errors import FanbenchError
from core.ports import free_ports

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
        "how long the primary must be silent before a Sentinel calls it down",
        1,
    ),
    Setting(
        "failover_timeout_ms",
        int(_SENTINEL[_FAILOVER_TIMEOUT]),
        "after which a failover that stands still is tried again",
        1,
    ),
    Setting(
        "min_replicas_to_write",
        int(SHARED["min-replicas-to-write"]),
        "replicas that must be there for the primary to take a write",
        0,
        NODES - 1,
    ),
    FSYNC,
)


def _build(plan: Blueprint) -> Cluster:
    """Feature `durable`: an append-only file on each server. Listener `sentinel`: the Sentinels' addresses."""
    ports = free_ports(2 * NODES)
    servers, sentinels = ports[:NODES], ports[NODES:]
    nodes = [_server(plan, number, port, servers[0]) for number, port in enumerate(servers, 1)]
    return Cluster(
        name=plan.name,
        listeners={"sentinel": listening(sentinels)},
        data=plan.data,
        nodes=nodes,
        watchers=[_sentinel(plan, number, port, servers[0]) for number, port in enumerate(sentinels, 1)],
        whole=partial(_whole, servers, sentinels),
        leader=partial(_leader, dict(zip(servers, nodes, strict=True)), sentinels),
        # A Sentinel that finds a primary without replicas looks again after ten seconds only.
        form=lambda: wait_until(lambda: _online(servers[0]) == NODES - 1, f"{plan.name}: the replicas follow"),
    )


def _server(plan: Blueprint, number: int, port: int, primary: int) -> Running:
    node = f"server-{number}"
    # A file, since Sentinel has each server write into it whom it follows: so that it is that, too, after a restart.
    config = plan.home(node) / "server.conf"
    options = server_options(plan, node, port) | {"min-replicas-to-write": plan.values["min_replicas_to_write"]}
    options |= {} if port == primary else {"replicaof": f"127.0.0.1 {primary}"}
    config.write_text(config_text(options), encoding="utf-8")
    return server_node(plan, node, [plan.executable, config], port)


def _sentinel(plan: Blueprint, number: int, port: int, primary: int) -> Running:
    node, values = f"sentinel-{number}", plan.values
    config = plan.home(node) / "sentinel.conf"
    own: dict[str, object] = {"port": port, "bind": "127.0.0.1", "dir": plan.home(node)}
    own |= _SENTINEL | {_DOWN_AFTER: values["down_after_ms"], _FAILOVER_TIMEOUT: values["failover_timeout_ms"]}
    config.write_text(config_text(own).replace(_PRIMARY, f"127.0.0.1 {primary}"), encoding="utf-8")
    return server_node(plan, node, [plan.executable, config, "--sentinel"], port)


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


valkey_sentinel = ClusterProgram("valkey-sentinel", valkey, 40, _SETTINGS, _build)
redis_sentinel = ClusterProgram("redis-sentinel", redis, 76, _SETTINGS, _build)
