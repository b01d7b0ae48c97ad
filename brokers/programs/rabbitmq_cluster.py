"""Three nodes of RabbitMQ, with an epmd of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from brokers.programs.cluster import Cluster
from brokers.programs.cluster_settings import Setting, defaults
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
from core.errors import FanbenchError
from core.ports import free_ports
from core.process import spawn

NODES = 3
_NAMES = b"\x00\x01n"
"""epmd's request for the names it knows, with its length."""

_SETTINGS = (
    Setting(
        "net_ticktime_s", 10, "after how long without a word a node calls another one down; RabbitMQ's default is 60"
    ),
    Setting("partition_handling", 1, "0: ignore; 1: pause_minority; 2: autoheal"),
)
_HANDLING = ("ignore", "pause_minority", "autoheal")


@dataclass(frozen=True, slots=True)
class RabbitMQCluster:
    """Features: `quorum` or `stream`, the type of queue that leads; without, the node of an exclusive queue does."""

    name: str = "rabbitmq-cluster"
    install_hint: str = rabbitmq.install_hint
    memory_mb: int = 400
    settings: tuple[Setting, ...] = _SETTINGS

    def find(self) -> Path | None:
        """rabbitmq-server."""
        return rabbitmq.find()

    def require(self) -> Path:
        """rabbitmq-server; see Program."""
        return rabbitmq.require()

    def version(self) -> str:
        """The server's."""
        return rabbitmq.version()

    def start(self, folder: Path, features: Collection[str] = ()) -> Cluster:
        """Run it with the defaults; see Program."""
        return self.start_with(folder, features, defaults(self.settings))

    def start_with(self, folder: Path, _features: Collection[str], values: Mapping[str, int]) -> Cluster:
        """Run it; see ClusterProgram."""
        executable = self.require()
        data = folder / f"{self.name}-data"
        data.mkdir(parents=True, exist_ok=True)
        free = free_ports(2 * NODES + 1)
        ports, distribution_ports, epmd_port = free[:NODES], free[NODES : 2 * NODES], free[-1]
        nodes = [
            self._node(executable, folder, data, place, ports, distribution_ports[place], epmd_port, values)
            for place in range(NODES)
        ]
        return Cluster(
            name=self.name,
            listeners={"amqp": ",".join(f"127.0.0.1:{port}" for port in ports)},
            data=data,
            nodes=nodes,
            # Not one of the nodes': epmd lives longer than any of them.
            watchers=[_epmd(folder, data, epmd_port)],
            watchers_first=True,
            whole=partial(_whole, ports),
            leader=partial(_leader, dict(zip(ports, nodes, strict=True))),
            settings=values,
            credentials=("guest", "guest"),
        ).first_start()

    def _node(
        self,
        executable: Path,
        folder: Path,
        data: Path,
        place: int,
        ports: Sequence[int],
        distribution_port: int,
        epmd_port: int,
        values: Mapping[str, int],
    ) -> Running:
        port, name = ports[place], f"{self.name}-{place + 1}"
        home = data / name
        home.mkdir(exist_ok=True)
        plugins = home / "enabled_plugins"
        plugins.write_text("[].\n", encoding="utf-8")
        config = home / "rabbitmq.conf"
        lines = [
            local_config(port, None),
            f"net_ticktime = {values['net_ticktime_s']}",
            f"cluster_partition_handling = {_handling(values['partition_handling'])}",
            "cluster_formation.peer_discovery_backend = classic_config",
            *(
                f"cluster_formation.classic_config.nodes.{number} = {node_name(other)}"
                for number, other in enumerate(ports, 1)
            ),
        ]
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        env = environment(home, config, plugins, port, distribution_port, epmd_port)
        env["HOME"] = str(data)  # one cookie for all
        env |= code_links(executable, (), home / "code", env)
        remember_node(port, env)
        return Running(
            name=name,
            listeners={"amqp": f"127.0.0.1:{port}"},
            data=home,
            spawn=lambda: spawn(name, [executable], folder / f"{name}.log", env=env, cwd=home),
            ready=lambda: amqp_answers(port),
            start_timeout_s=START_TIMEOUT_S,
            stop_grace_s=STOP_GRACE_S,
        )


def _handling(number: int) -> str:
    if number >= len(_HANDLING):
        raise FanbenchError(f"partition_handling={number}: 0 is ignore, 1 pause_minority, 2 autoheal")
    return _HANDLING[number]


def _epmd(folder: Path, data: Path, port: int) -> Running:
    """Erlang's names: which node listens where."""
    executable = require("epmd", on_path("epmd"), rabbitmq.install_hint)
    home = data / "epmd"
    home.mkdir(exist_ok=True)
    command: list[str | Path] = [executable, "-port", str(port), "-address", "127.0.0.1"]
    return Running(
        name="epmd",
        listeners={},
        data=home,
        spawn=lambda: spawn("epmd", command, folder / "epmd.log", cwd=home),
        ready=lambda: answers(port, [(_NAMES, port.to_bytes(4, "big"))]),
    )


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


rabbitmq_cluster = RabbitMQCluster()
