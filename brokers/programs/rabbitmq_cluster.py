"""Three nodes of RabbitMQ, with an epmd of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from brokers.programs.cluster import Cluster
from brokers.programs.cluster_program import Blueprint, ClusterProgram, Setting, listening
from brokers.programs.finding import on_path, require
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
from brokers.programs.shared_config import read_shared
from core.errors import FanbenchError
from core.ports import free_ports

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
        "after how long without a word a node calls another one down; RabbitMQ's default is 60",
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
    """Features: `quorum` or `stream`, the type of queue that leads; without, the node of an exclusive queue does."""
    free = free_ports(2 * NODES + 1)
    ports, distribution_ports, epmd_port = free[:NODES], free[NODES : 2 * NODES], free[-1]
    nodes = [_node(plan, place, ports, distribution_ports[place], epmd_port) for place in range(NODES)]
    return Cluster(
        name=plan.name,
        listeners={"amqp": listening(ports)},
        data=plan.data,
        nodes=nodes,
        # Not one of the nodes': epmd lives longer than any of them.
        watchers=[_epmd(plan, epmd_port)],
        watchers_first=True,
        whole=partial(_whole, ports),
        leader=partial(_leader, dict(zip(ports, nodes, strict=True))),
        credentials=("guest", "guest"),
    )


def _node(plan: Blueprint, place: int, ports: Sequence[int], distribution_port: int, epmd_port: int) -> Running:
    port, node = ports[place], f"{place + 1}"
    home = plan.home(node)
    plugins = home / "enabled_plugins"
    plugins.write_text("[].\n", encoding="utf-8")
    config = home / "rabbitmq.conf"
    handling = _HANDLING[plan.values["partition_handling"]]
    chosen = {_TICK: str(plan.values["net_ticktime_s"]), _PARTITIONS: handling}
    lines = [
        local_config(port, None),
        *(f"{name} = {value}" for name, value in (_SHARED | chosen).items()),
        *(
            f"cluster_formation.classic_config.nodes.{number} = {node_name(other)}"
            for number, other in enumerate(ports, 1)
        ),
    ]
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    env = environment(home, config, plugins, port, distribution_port, epmd_port)
    env["HOME"] = str(plan.data)  # one cookie for all
    env |= code_links(plan.executable, (), home / "code", env)
    remember_node(port, env)
    return plan.node(
        node,
        [plan.executable],
        {"amqp": f"127.0.0.1:{port}"},
        partial(amqp_answers, port),
        env=env,
        start_timeout_s=START_TIMEOUT_S,
        stop_grace_s=STOP_GRACE_S,
    )


def _epmd(plan: Blueprint, port: int) -> Running:
    """Erlang's names: which node listens where."""
    executable = require("epmd", on_path("epmd"), rabbitmq.install_hint)
    command: list[str | Path] = [executable, "-port", str(port), "-address", "127.0.0.1"]
    return plan.node("epmd", command, {}, partial(answers, port, [(_NAMES, port.to_bytes(4, "big"))]))


def _whole(ports: Sequence[int]) -> bool:
    """Whether each node runs with all others, and each quorum queue and stream has all its members."""
    if not all(amqp_answers(port) for port in ports):
        return False
    return all(evaluate(port, _ALL_THERE.replace("COUNT", str(len(ports)))).strip() == "true" for port in ports)


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


def _leader(nodes: Mapping[int, Running], features: Collection[str], _topic: str) -> Running:
    kind = next((_TYPES[feature] for feature in features if feature in _TYPES), "rabbit_classic_queue")
    for port, node in nodes.items():
        if node.ended or not amqp_answers(port):
            continue
        told = evaluate(port, _LEADERS.replace("TYPE", kind))
        for other, found in nodes.items():
            if node_name(other) in told:
                return found
    raise FanbenchError("no node names the leader of a queue; see their logs")


rabbitmq_cluster = ClusterProgram("rabbitmq-cluster", rabbitmq, 400, _SETTINGS, _build)
