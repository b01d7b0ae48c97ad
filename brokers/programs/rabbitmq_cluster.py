"""Three RabbitMQ nodes with their own epmd."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from brokers.programs.cluster import Cluster
from brokers.programs.cluster_program import Blueprint, ClusterProgram
from brokers.programs.finding import on_path, require
from brokers.programs.networks import host_of, port_of
from brokers.programs.probe import amqp_answers, answers
from brokers.programs.rabbitmq import (
    START_TIMEOUT_S,
    STOP_GRACE_S,
    code_links,
    environment,
    evaluate,
    local_config,
    node_name,
    rabbitmq,
    remember_node,
)
from brokers.programs.running import Running
from brokers.programs.settings import Setting
from brokers.programs.shared_config import read_shared
from core.errors import FanbenchError

NODES = 3
_NAMES = b"\x00\x01n"
"""epmd's request for the names it knows, with its length."""

_HANDLING = ("ignore", "pause_minority", "autoheal")
_TICK, _PARTITIONS = "net_ticktime", "cluster_partition_handling"
_SHARED = read_shared("rabbitmq/cluster.conf")
_SETTINGS = (
    Setting(
        "net_ticktime_s",
        int(_SHARED[_TICK]),
        "how long a node must be silent before another declares it down; RabbitMQ's default is 60",
        1,
    ),
    Setting(
        "partition_handling",
        _HANDLING.index(_SHARED[_PARTITIONS]),
        "0: ignore; 1: pause_minority; 2: autoheal",
        0,
        len(_HANDLING) - 1,
    ),
)


def _build(plan: Blueprint) -> Cluster:
    """Features: `quorum` or `stream`, the type of the queue whose leader counts.

    Without either, the node of an exclusive queue.
    """
    addresses, distribution = plan.network.addresses(NODES), plan.network.addresses(NODES)
    epmd_port = port_of(plan.network.addresses(1)[0])
    nodes = [_node(plan, place, addresses, port_of(distribution[place]), epmd_port) for place in range(NODES)]
    hosts = dict.fromkeys(host_of(address) for address in addresses)
    return Cluster(
        name=plan.name,
        listeners={"amqp": ",".join(addresses)},
        data=plan.data,
        nodes=nodes,
        # Not a node's environment: epmd outlives every node.
        watchers=[_epmd(plan, place, f"{host}:{epmd_port}") for place, host in enumerate(hosts, 1)],
        watchers_first=True,
        whole=partial(_whole, addresses),
        leader=partial(_leader, dict(zip(addresses, nodes, strict=True))),
        credentials=("guest", "guest"),
        network=plan.network,
    )


def _node(plan: Blueprint, place: int, addresses: Sequence[str], distribution_port: int, epmd_port: int) -> Running:
    address, node = addresses[place], f"{place + 1}"
    host, port = host_of(address), port_of(address)
    home = plan.home(node)
    plugins = home / "enabled_plugins"
    plugins.write_text("[].\n", encoding="utf-8")
    config = home / "rabbitmq.conf"
    handling = _HANDLING[plan.values["partition_handling"]]
    chosen = {_TICK: str(plan.values["net_ticktime_s"]), _PARTITIONS: handling}
    lines = [
        local_config(port, None, host),
        *(f"{name} = {value}" for name, value in (_SHARED | chosen).items()),
        *(
            f"cluster_formation.classic_config.nodes.{number} = {_name(other)}"
            for number, other in enumerate(addresses, 1)
        ),
    ]
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    env = environment(home, config, plugins, port, distribution_port, epmd_port, host)
    env["HOME"] = str(plan.data)  # one cookie for all
    env |= code_links(plan.executable, (), home / "code", env)
    remember_node(port, env, plan.network.enter(address))
    return plan.node(
        node,
        [plan.executable],
        {"amqp": address},
        partial(amqp_answers, port, host),
        env=env,
        start_timeout_s=START_TIMEOUT_S,
        stop_grace_s=STOP_GRACE_S,
    )


def _name(address: str) -> str:
    return node_name(port_of(address), host_of(address))


def _epmd(plan: Blueprint, place: int, address: str) -> Running:
    """Erlang's register of one host: which node listens on which port."""
    executable, host, port = require("epmd", on_path("epmd"), rabbitmq.install_hint), host_of(address), port_of(address)
    command: list[str | Path] = [executable, "-port", str(port), "-address", host]
    known = [(_NAMES, port.to_bytes(4, "big"))]
    return plan.node(f"epmd-{place}", command, {"epmd": address}, partial(answers, port, known, host))


def _whole(addresses: Sequence[str]) -> bool:
    """Whether each node sees all others running, and each quorum queue and stream has all its members."""
    if not all(amqp_answers(port_of(address), host_of(address)) for address in addresses):
        return False
    asked = _ALL_THERE.replace("COUNT", str(len(addresses)))
    return all(evaluate(port_of(address), asked).strip() == "true" for address in addresses)


_ALL_THERE = """
length([N || N <- [node() | nodes()], rpc:call(N, rabbit, is_running, []) =:= true]) =:= COUNT andalso
lists:all(fun(Q) ->
    case amqqueue:get_type(Q) of
        rabbit_quorum_queue ->
            length(lists:filter(fun(N) ->
                is_pid(rpc:call(N, erlang, whereis, [element(1, amqqueue:get_pid(Q))]))
            end, maps:get(nodes, amqqueue:get_type_state(Q)))) =:= COUNT;
        _ -> true
    end
end, rabbit_amqqueue:list())
"""
_LEADERS = """
[atom_to_list(case amqqueue:get_pid(Q) of {_, N} -> N; P -> node(P) end) ||
    Q <- rabbit_amqqueue:list(), amqqueue:get_type(Q) =:= TYPE, amqqueue:get_pid(Q) =/= none]
"""
_TYPES = {"quorum": "rabbit_quorum_queue", "stream": "rabbit_stream_queue"}


def _leader(nodes: Mapping[str, Running], features: Collection[str], _topic: str) -> Running:
    kind = next((_TYPES[feature] for feature in features if feature in _TYPES), "rabbit_classic_queue")
    for address, node in nodes.items():
        if node.ended or not amqp_answers(port_of(address), host_of(address)):
            continue
        told = evaluate(port_of(address), _LEADERS.replace("TYPE", kind))
        for other, found in nodes.items():
            if _name(other) in told:
                return found
    raise FanbenchError("no node names the leader of a queue; see their logs")


rabbitmq_cluster = ClusterProgram("rabbitmq-cluster", rabbitmq, 400, NODES, _SETTINGS, _build)
