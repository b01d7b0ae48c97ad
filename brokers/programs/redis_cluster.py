"""Redis Cluster: three primaries that share the slots, with a replica each, of valkey-server or redis-server."""

from __future__ import annotations

import binascii
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from brokers.programs.cluster import Cluster, wait_until
from brokers.programs.cluster_program import Blueprint, ClusterProgram, Setting, listening
from brokers.programs.redis_ask import Reply, ask, ask_info
from brokers.programs.redis_nodes import FSYNC, config_text, server_node, server_options
from brokers.programs.running import Running
from brokers.programs.shared_config import read_shared
from brokers.programs.valkey import valkey
from core.errors import FanbenchError
from core.ports import free_ports

PRIMARIES = 3
SLOTS = 16_384

_NODE_TIMEOUT = "cluster-node-timeout"
_CLUSTER = read_shared("redis/cluster.conf")
_SETTINGS = (
    Setting(
        "node_timeout_ms",
        int(_CLUSTER[_NODE_TIMEOUT]),
        "how long a node must be silent before the others call it down",
        1,
    ),
    FSYNC,
)


def _build(plan: Blueprint) -> Cluster:
    # The bus has a port of its own: by default it is 10,000 beyond the other, which may not exist.
    free = free_ports(4 * PRIMARIES)
    ports, buses = free[: 2 * PRIMARIES], free[2 * PRIMARIES :]
    nodes = [_node(plan, number, port, bus) for number, (port, bus) in enumerate(zip(ports, buses, strict=True), 1)]
    return Cluster(
        name=plan.name,
        listeners={"redis": listening(ports)},
        data=plan.data,
        nodes=nodes,
        whole=partial(_whole, ports),
        leader=partial(_leader, dict(zip(ports, nodes, strict=True))),
        form=partial(_form, ports, buses),
    )


def _node(plan: Blueprint, number: int, port: int, bus: int) -> Running:
    node = f"node-{number}"
    own = {"cluster-port": bus, _NODE_TIMEOUT: plan.values["node_timeout_ms"]}
    options = server_options(plan, node, port) | _CLUSTER | own
    config = plan.home(node) / "server.conf"
    config.write_text(config_text(options), encoding="utf-8")
    return server_node(plan, node, [plan.executable, config], port)


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


valkey_cluster = ClusterProgram("valkey-cluster", valkey, 46, _SETTINGS, _build)
