"""The servers of Sentinel sets and of Redis Cluster: what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from brokers.programs.cluster_program import Blueprint, Setting
from brokers.programs.probe import redis_answers
from brokers.programs.running import Running

FSYNC = Setting(
    "fsync_every_s", 1, "0: the append-only file is synced at each write (always); 1: each second (everysec)", 0, 1
)


def server_options(plan: Blueprint, node: str, port: int) -> dict[str, object]:
    """By their names in the server's configuration. Feature `durable`: an append-only file."""
    return {
        "port": port,
        "bind": "127.0.0.1",
        "dir": plan.home(node),
        "save": '""',
        "appendonly": "yes" if "durable" in plan.features else "no",
        "appendfsync": "everysec" if plan.values["fsync_every_s"] else "always",
        "repl-diskless-sync-delay": 0,
    }


def server_node(plan: Blueprint, node: str, command: Sequence[str | Path], port: int) -> Running:
    """A server, or a Sentinel, that answers at this port."""
    return plan.node(node, command, {"redis": f"127.0.0.1:{port}"}, partial(redis_answers, port))
