"""rabbitmq-server with deploy/rabbitmq/rabbitmq.conf; it runs alongside others, also an installed one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brokers.programs.finding import DEPLOY, on_path, require, version_of
from brokers.programs.probe import amqp_answers, mqtt_answers
from brokers.programs.running import Running, launch
from core.errors import FanbenchError
from core.ports import free_ports
from core.process import DIES_WITH_PARENT, spawn

CONFIG = DEPLOY / "rabbitmq" / "rabbitmq.conf"
START_TIMEOUT_S = 90.0
STOP_GRACE_S = 15.0
# Debian's wrapper on the PATH changes to the user rabbitmq.
_REAL = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
# RabbitMQ asks epmd for its peers. If there is none, it starts a daemon that outlives it and serves every Erlang here.
_WITH_EPMD = 'port=$1; shift; "$@" epmd -port "$port" -address 127.0.0.1 & exec "$0"'
_nodes: dict[int, dict[str, str]] = {}
"""The environment of each node that fanbench started, by its AMQP port."""
_before: dict[int, list[str]] = {}
"""The prefix of a command that must reach a node, by its AMQP port."""
_LOOPBACK = "127.0.0.1"
_VERSION = re.compile(r"rabbitmq_server-(\d+(?:\.\d+)+)")


@dataclass(frozen=True, slots=True)
class RabbitMQ:
    """Feature `mqtt`: the plug-in rabbitmq_mqtt."""

    name: str = "rabbitmq"
    install_hint: str = "`make brokers`, or apt install rabbitmq-server"

    def find(self) -> Path | None:
        """The server's own script."""
        return _REAL if _REAL.exists() else on_path("rabbitmq-server")

    def require(self) -> Path:
        """The executable; see Program."""
        return require(self.name, self.find(), self.install_hint)

    def version(self) -> str:
        """From the name of the installation's directory, otherwise as rabbitmqctl prints it."""
        found = self.find()
        if found is None:
            return ""
        match = _VERSION.search(str(found.resolve()))
        return match[1] if match else version_of(found.with_name("rabbitmqctl"), "version")

    def start(self, folder: Path, features: Collection[str] = ()) -> Running:
        """Run it; see Program."""
        executable = self.require()
        port, mqtt_port, distribution_port, epmd_port = free_ports(4)
        mqtt = "mqtt" in features
        data = folder / "rabbitmq-data"
        folder.mkdir(parents=True, exist_ok=True)
        plugins = folder / "rabbitmq-plugins"
        plugins.write_text("[rabbitmq_mqtt].\n" if mqtt else "[].\n", encoding="utf-8")
        config = folder / "rabbitmq.conf"
        config.write_text(local_config(port, mqtt_port if mqtt else None), encoding="utf-8")
        env = environment(data, config, plugins, port, distribution_port, epmd_port)
        env |= code_links(executable, ["rabbitmq_mqtt"] if mqtt else [], data / "code", env)
        remember_node(port, env)
        command = ["sh", "-c", _WITH_EPMD, str(executable), str(epmd_port), *DIES_WITH_PARENT]
        listeners = {"amqp": f"127.0.0.1:{port}"} | ({"mqtt": f"127.0.0.1:{mqtt_port}"} if mqtt else {})
        return launch(
            Running(
                name=self.name,
                listeners=listeners,
                data=data,
                spawn=lambda: spawn(self.name, command, folder / "rabbitmq.log", env=env, cwd=data),
                # RabbitMQ's own ping answers before the port listens.
                ready=lambda: amqp_answers(port) and (not mqtt or mqtt_answers(mqtt_port)),
                start_timeout_s=START_TIMEOUT_S,
                stop_grace_s=STOP_GRACE_S,
                credentials=("guest", "guest"),  # always
            )
        )


def remember_node(port: int, env: dict[str, str], before: Sequence[str] = ()) -> None:
    """Remember a node's environment and command prefix by its AMQP port, so that `evaluate` reaches it."""
    _nodes[port], _before[port] = env, list(before)


def node_name(port: int, host: str = _LOOPBACK) -> str:
    """The Erlang node with this AMQP port."""
    return f"fanbench-{port}@{'localhost' if host == _LOOPBACK else host}"


def nodes() -> list[int]:
    """The AMQP ports of the nodes that this process started and has not stopped, the newest last."""
    return [port for port, env in _nodes.items() if Path(env["HOME"]).exists()]


def evaluate(port: int, expression: str) -> str:
    """Evaluate an Erlang expression at a node that fanbench started, as an operator would with rabbitmqctl. Blocks.

    erl_call takes a few milliseconds of CPU; rabbitmqctl starts another node and takes over a second.

    Raises:
        FanbenchError: it does not answer, or the expression fails.
    """
    if (call := on_path("erl_call")) is not None:
        return _call(call, port, expression)
    control = rabbitmq.require().with_name("rabbitmqctl")
    name = _nodes[port]["RABBITMQ_NODENAME"]
    command: list[str | Path] = [*_before[port], control, "-q", "-n", name, "eval", expression]
    env = _nodes[port] | {"RABBITMQ_CTL_ERL_ARGS": "-start_epmd false"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False)
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())
        raise FanbenchError(f"rabbitmqctl eval failed: {words}; see the node's log")
    return done.stdout


def _call(executable: Path, port: int, expression: str) -> str:
    env = _nodes[port]
    cookie = (Path(env["HOME"]) / ".erlang.cookie").read_text(encoding="ascii").strip()
    name = env["RABBITMQ_NODENAME"]
    named = "-name" if "RABBITMQ_USE_LONGNAME" in env else "-sname"
    command: list[str | Path] = [*_before[port], executable, named, name, "-c", cookie, "-e"]
    done = subprocess.run(
        command,
        input=expression.strip().rstrip(".") + ".\n",
        env=env,
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        check=False,
    )
    ok, found, answer = done.stdout.strip().removesuffix("}").partition("{ok, ")
    if done.returncode or not found:
        words = " ".join((done.stderr or ok).split())
        raise FanbenchError(f"erl_call to {name} failed: {words}; see the node's log")
    return answer


def code_links(executable: Path, enabled: Collection[str], folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """The variables with which a node in environment `env` loads its code by `link_code`.

    Empty if that is impossible.
    """
    spaced = re.search(r"\s", str(folder))  # Erlang separates arguments by spaces
    if spaced or not link_code(executable, enabled, folder):
        return {}
    arguments = env["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"]
    return {
        "RABBITMQ_PLUGINS_DIR": str(folder),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{arguments} -env ERL_LIBS {folder}",
    }


def link_code(executable: Path, enabled: Collection[str], folder: Path) -> bool:
    """Recreate `folder` with links to the node's code, except plug-ins that are not enabled.

    Erlang searches its code path, folder by folder, for each of a node's 400 modules. If the folders of all plug-ins
    are on that path, 20,000 look-ups fail, a third of the start's CPU (docs/decisions/0006). False if the code is not
    in folders next to the executable; such a package is used unchanged.
    """
    found = {path.name.partition("-")[0]: path for path in executable.resolve().parents[1].glob("plugins/*/")}
    needed = {"rabbit", "rabbitmq_prelaunch", *enabled}
    if not needed <= found.keys():
        return False
    if folder.exists():
        shutil.rmtree(folder)  # left by a killed run
    folder.mkdir(parents=True)
    for name, path in found.items():
        if name in needed or not name.startswith("rabbitmq_"):
            (folder / path.name).symlink_to(path)
    return True


def local_config(port: int, mqtt_port: int | None, host: str = _LOOPBACK) -> str:
    """The shared configuration and the listeners."""
    lines = [CONFIG.read_text(encoding="utf-8"), f"listeners.tcp.1 = {host}:{port}"]
    if mqtt_port is not None:
        lines += [f"mqtt.listeners.tcp.1 = 127.0.0.1:{mqtt_port}", "mqtt.tcp_listen_options.nodelay = true"]
    return "\n".join(lines) + "\n"


def environment(
    data: Path,
    config: Path,
    plugins: Path,
    port: int,
    distribution_port: int,
    epmd_port: int,
    host: str = _LOOPBACK,
) -> dict[str, str]:
    """The environment of a separate node: name, cookie (in HOME), directories and ports."""
    interface = host.replace(".", ",")
    env = {name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")}
    return env | {
        "HOME": str(data),
        **({} if host == _LOOPBACK else {"RABBITMQ_USE_LONGNAME": "true"}),
        "RABBITMQ_NODENAME": node_name(port, host),
        "RABBITMQ_MNESIA_BASE": str(data / "mnesia"),
        "RABBITMQ_LOG_BASE": str(data / "log"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(data / "config"),
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,  # not the installed node's
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(data / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RUNNING_UNDER_SYSTEMD": "true",  # no shell in between, which could be killed without the node
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": host,
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-start_epmd false -kernel inet_dist_use_interface {{{interface}}}",
    }


rabbitmq = RabbitMQ()
