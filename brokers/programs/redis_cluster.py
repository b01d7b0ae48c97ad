"""Redis Cluster with valkey-server or redis-server: three primaries that share the slots, with one replica each."""

from __future__ import annotations

import binascii
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from brokers.programs.cluster import Cluster, wait_until
from brokers.programs.cluster_program import Blueprint, ClusterProgram
from brokers.programs.networks import host_of, port_of
from brokers.programs.redis_ask import Reply, ask, ask_info
from brokers.programs.redis_nodes import FSYNC, config_text, server_node, server_options
from brokers.programs.running import Running
from brokers.programs.settings import Setting
from brokers.programs.shared_config import read_shared
from brokers.programs.valkey import valkey
from core.errors import FanbenchError

PRIMARIES = 3
NODES = 2 * PRIMARIES
SLOTS = 16_384

_NODE_TIMEOUT = "cluster-node-timeout"
_CLUSTER = read_shared("redis/cluster.conf")
_SETTINGS = (
    Setting(
        "node_timeout_ms",
        int(_CLUSTER[_NODE_TIMEOUT]),
        "how long a node must be silent before the others declare it down",
        1,
    ),
    FSYNC,
)


def _build(plan: Blueprint) -> Cluster:
    # The bus needs its own port: the default, 10,000 above the other, may not exist.
    addresses, buses = plan.network.addresses(NODES), plan.network.addresses(NODES)
    nodes = [_node(plan, number, *both) for number, both in enumerate(zip(addresses, buses, strict=True), 1)]
    return Cluster(
        name=plan.name,
        listeners={"redis": ",".join(addresses)},
        data=plan.data,
        nodes=nodes,
        whole=partial(_whole, addresses),
        leader=partial(_leader, dict(zip(addresses, nodes, strict=True))),
        form=partial(_form, addresses, buses),
        network=plan.network,
    )


def _node(plan: Blueprint, number: int, address: str, bus: str) -> Running:
    node = f"node-{number}"
    own = {"cluster-port": port_of(bus), _NODE_TIMEOUT: plan.values["node_timeout_ms"]}
    options = server_options(plan, node, address) | _CLUSTER | own
    config = plan.home(node) / "server.conf"
    config.write_text(config_text(options), encoding="utf-8")
    return server_node(plan, node, [plan.executable, config], address)


def _form(addresses: Sequence[str], buses: Sequence[str]) -> None:
    """Give each primary its share of the slots, make all nodes meet, and make the others replicas."""
    share = SLOTS // PRIMARIES + 1
    for place, address in enumerate(addresses[:PRIMARIES]):
        first, last = place * share, min((place + 1) * share, SLOTS) - 1
        ask(address, "CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
        ask(address, "CLUSTER", "SET-CONFIG-EPOCH", str(place + 1))
    for address, bus in zip(addresses[1:], buses[1:], strict=True):
        ask(addresses[0], "CLUSTER", "MEET", host_of(address), str(port_of(address)), str(port_of(bus)))
    names = [str(ask(address, "CLUSTER", "MYID")) for address in addresses[:PRIMARIES]]
    for address, name in zip(addresses[PRIMARIES:], names, strict=True):
        wait_until(partial(_knows, address, name), "the nodes know one another")
        ask(address, "CLUSTER", "REPLICATE", name)


def _knows(address: str, name: str) -> bool:
    """Whether a node knows another one by gossip."""
    return name in str(ask(address, "CLUSTER", "NODES"))


def _owners(address: str) -> list[tuple[range, list[str]]]:
    """Ranges of slots, each with its primary's address and those of its replicas, as this node sees them."""
    found: Reply = ask(address, "CLUSTER", "SLOTS")
    assert isinstance(found, list)
    return [
        (range(int(row[0]), int(row[1]) + 1), [f"{node[0]}:{node[1]}" for node in row[2:]])  # type: ignore[arg-type, index]
        for row in found
        if isinstance(row, list)
    ]


def _whole(addresses: Sequence[str]) -> bool:
    for address in addresses:
        if ask_info(address, "CLUSTER", "INFO")["cluster_state"] != "ok":
            return False
        owners = _owners(address)
        if sum(len(slots) for slots, _ in owners) != SLOTS or {one for _, all_ in owners for one in all_} != set(
            addresses
        ):
            return False
        told = ask_info(address, "INFO", "replication")
        if told["role"] == "slave" and told["master_link_status"] != "up":
            return False
    return True


def _leader(nodes: Mapping[str, Running], _features: Collection[str], topic: str) -> Running:
    slot = slot_of(topic)
    for address in nodes:
        try:
            owners = _owners(address)
        except OSError:
            continue
        for slots, (primary, *_) in owners:
            if slot in slots:
                return nodes[primary]
    raise FanbenchError(f"no node of the cluster names a primary for the topic '{topic}'; see their logs")


def slot_of(key: str) -> int:
    """The slot of a key: CRC-16 (XMODEM) of the key, or of its part in braces.

    Source: Redis Cluster specification, "Key distribution model".
    """
    data = key.encode()
    start = data.find(b"{")
    end = data.find(b"}", start + 1)
    if start >= 0 and end > start + 1:
        data = data[start + 1 : end]
    return binascii.crc_hqx(data, 0) % SLOTS


valkey_cluster = ClusterProgram("valkey-cluster", valkey, 46, NODES, _SETTINGS, _build)
