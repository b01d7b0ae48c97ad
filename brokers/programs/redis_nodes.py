"""What the servers of Sentinel sets and of Redis Cluster have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from brokers.programs.cluster_program import Blueprint
from brokers.programs.networks import host_of, port_of
from brokers.programs.probe import redis_answers
from brokers.programs.running import Running
from brokers.programs.settings import Setting
from brokers.programs.shared_config import read_shared

SHARED = read_shared("redis/nodes.conf")
_FSYNC = {"always": 0, "everysec": 1}
FSYNC = Setting(
    "fsync_every_s",
    _FSYNC[SHARED["appendfsync"]],
    "0: sync the append-only file at each write (always); 1: every second (everysec)",
    0,
    1,
)


def server_options(plan: Blueprint, node: str, address: str) -> dict[str, object]:
    """Options by their names in the server's configuration. Feature `durable`: an append-only file."""
    own: dict[str, object] = {"port": port_of(address), "bind": host_of(address), "dir": plan.home(node)}
    own["protected-mode"] = "no"  # protected mode answers only on 127.0.0.1, and a separate network has another address
    if "durable" in plan.features:
        own["appendonly"] = "yes"
    policy = next(name for name, value in _FSYNC.items() if value == plan.values["fsync_every_s"])
    return SHARED | own | {"appendfsync": policy}


def config_text(options: Mapping[str, object]) -> str:
    """Write a configuration file with these options."""
    return "".join(f"{name} {value}\n" for name, value in options.items())


def server_node(plan: Blueprint, node: str, command: Sequence[str | Path], address: str) -> Running:
    """Whether a server or Sentinel answers at this address."""
    return plan.node(node, command, {"redis": address}, partial(redis_answers, port_of(address), host_of(address)))
