"""Three nats-servers with routes to each other."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from brokers.programs.cluster import Cluster
from brokers.programs.cluster_program import Blueprint, ClusterProgram
from brokers.programs.nats import config_settings, nats
from brokers.programs.nats_ask import ask, ask_greeting
from brokers.programs.networks import host_of, port_of
from brokers.programs.probe import nats_answers
from brokers.programs.running import Running
from brokers.programs.settings import Setting
from brokers.programs.shared_config import read_shared
from core.errors import FanbenchError

NODES = 3

_SHARED = {name: value.strip('"s') for name, value in read_shared("nats/cluster.conf").items()}
"""In seconds."""
_SETTINGS = (
    Setting(
        "sync_interval_s",
        int(_SHARED["sync_interval"]),
        "how often JetStream syncs its files to disk; 0: at each write (always)",
    ),
    Setting(
        "ping_interval_s",
        int(_SHARED["ping_interval"]),
        "how often a node checks whether a silent connection is alive",
        1,
    ),
)

_OWN = "$"
"""The prefix of the server's own streams, such as those for MQTT sessions: they outlive the runs that share a cluster."""


def _build(plan: Blueprint) -> Cluster:
    """Features: `jetstream` (streams in files), `mqtt` (an MQTT listener on each node)."""
    addresses, mqtt, routes = (plan.network.addresses(NODES) for _ in range(3))
    nodes = [_node(plan, place, addresses[place], mqtt[place], routes) for place in range(NODES)]
    stored = bool({"jetstream", "mqtt"} & set(plan.features))
    used = {"nats": addresses} | ({"mqtt": mqtt} if "mqtt" in plan.features else {})
    return Cluster(
        name=plan.name,
        listeners={protocol: ",".join(found) for protocol, found in used.items()},
        data=plan.data,
        nodes=nodes,
        whole=partial(_whole, addresses, stored),
        leader=partial(_leader, dict(zip(addresses, nodes, strict=True))),
        network=plan.network,
    )


def _node(plan: Blueprint, place: int, address: str, mqtt: str, routes: Sequence[str]) -> Running:
    node, values = f"{place + 1}", plan.values
    home = plan.home(node)
    settings = config_settings(plan.features, host_of(address), port_of(address), port_of(mqtt), home, system=True)
    settings["server_name"] = _server_name(address)
    settings["ping_interval"] = f"{values['ping_interval_s']}s"
    settings["cluster"] = {
        "name": plan.name,
        "listen": routes[place],
        "routes": [f"nats-route://{other}" for other in routes if other != routes[place]],
    }
    listeners = {"nats": address}
    if "mqtt" in settings:
        # By default it makes as many copies as there are known nodes when the first client arrives: two of three.
        settings["mqtt"]["stream_replicas"] = NODES
        listeners["mqtt"] = mqtt
    if "jetstream" in settings:
        every = values["sync_interval_s"]
        settings["jetstream"]["sync_interval"] = f"{every}s" if every else "always"
    config = home / "nats.conf"
    config.write_text(json.dumps(settings, indent=2), encoding="utf-8")
    # Without a quorum JetStream does not answer: a node is ready when its server answers, and the cluster when it is
    # whole.
    return plan.node(
        node, [plan.executable, "-c", config], listeners, partial(nats_answers, port_of(address), host_of(address))
    )


def _server_name(address: str) -> str:
    """The node's name in the cluster; it contains the port, so that a leader's name identifies a node."""
    return f"fanbench-{port_of(address)}"


def _whole(addresses: Sequence[str], stored: bool) -> bool:
    """Whether each node knows the addresses of all, and with JetStream each stream has a leader that all others follow."""
    for address in addresses:
        told = ask_greeting(address)
        if not set(addresses) <= {*told.get("connect_urls", []), address}:
            return False
        if stored and not all(_followed(stream) for stream in _streams(address)):
            return False
    return True


def _followed(stream: Mapping[str, Any]) -> bool:
    cluster = stream.get("cluster", {})
    copies = stream["config"].get("num_replicas", 1)
    followers = [one for one in cluster.get("replicas", []) if one.get("current") and not one.get("offline")]
    return bool(cluster.get("leader")) and len(followers) >= copies - 1


def _streams(address: str) -> list[dict[str, Any]]:
    """The streams as JetStream's API lists them, requested from the node with that address.

    Raises:
        FanbenchError: it refuses. OSError: it does not answer, for lack of a quorum.
    """
    answer = ask(address, "$JS.API.STREAM.LIST")
    if "error" in answer:
        raise FanbenchError(str(answer["error"].get("description", answer["error"])))
    return [stream for stream in answer.get("streams") or [] if isinstance(stream, dict)]


def _leader(nodes: Mapping[str, Running], features: Collection[str], _topic: str) -> Running:
    """The stream's leader. Core and MQTT have none: each node passes on what it receives."""
    if "jetstream" not in features:
        raise FanbenchError("NATS core has no leader; break the node that replicas are connected to")
    for address in nodes:
        try:
            streams = _streams(address)
        except OSError:
            continue
        for stream in streams:
            if str(stream["config"]["name"]).startswith(_OWN):
                continue
            name = stream.get("cluster", {}).get("leader", "")
            for other, node in nodes.items():
                if name == _server_name(other):
                    return node
    raise FanbenchError("no node names the leader of a stream; see their logs")


nats_cluster = ClusterProgram("nats-cluster", nats, 57, NODES, _SETTINGS, _build)
