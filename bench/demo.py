"""`fanbench demo`: the whole picture on one machine without Docker, to look at in a browser."""

from __future__ import annotations

import socket
import tempfile
import time
from pathlib import Path

from rich.console import Console

from bench.procs import Children, Replica, start_generator, start_replica, wait_ready
from bench.proxy import find_nginx, start_proxy
from brokers.contenders import find_contender
from brokers.programs.catalogue import Launch
from core.errors import UsageError
from core.ports import free_ports
from core.process import Child
from core.scenario import Scenario


def demo_command(name: str, scenario: Scenario, port: int, launch: Launch = "auto") -> int:
    """Start broker, replicas and generator; print the addresses; end with Ctrl-C. Returns the exit code."""
    contender = find_contender(name).launched_by(launch)
    contender.require_runnable()
    _require_free(port)
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="fanbench-demo-"))
    with contender.launched(folder) as broker, Children() as children:
        settings: dict[str, object] = {"broker_url": broker.url, "delivery": contender.delivery}
        schedule = {"rate_hz": scenario.rate_hz, "topics": scenario.topics, "payload_bytes": scenario.payload_bytes}
        nginx = find_nginx()
        ports = free_ports(scenario.replicas) if nginx else [port, *free_ports(scenario.replicas - 1)]
        replicas = [
            start_replica(f"replica-{i}", at, settings | (schedule if contender.embedded else {}), folder)
            for i, at in enumerate(ports, start=1)
        ]
        alive = [children.add(replica.child) for replica in replicas]
        wait_ready(replicas)
        if not contender.embedded:
            generator, _ = start_generator(settings | schedule, folder)
            alive.append(children.add(generator))
        front = start_proxy(nginx, port, replicas, folder, children) if nginx else None
        _say(console, contender.name, front, replicas, scenario, folder)
        try:
            _watch(alive)
        except KeyboardInterrupt:
            console.print("stopping")
    return 0


def _require_free(port: int) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise UsageError(f"port {port}: {error}; give another one with --port") from error


def _say(
    console: Console, name: str, front: str | None, replicas: list[Replica], scenario: Scenario, folder: Path
) -> None:
    def line(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    url = front or replicas[0].url
    line(f"{name}, {len(replicas)} replicas, {scenario.rate_hz:g} events/s. Ctrl-C ends it.")
    line(f"  open      {url}/")
    line(f"  or        curl -N {url}/sse")
    line(
        f"  replicas  {'  '.join(replica.url for replica in replicas)}"
        + ("" if front else "  (no nginx here to put in front)")
    )
    line(f"  numbers   {replicas[0].url}/stats")
    line(f"  logs      {folder}")


def _watch(children: list[Child]) -> None:
    while True:
        for child in children:
            child.require_alive()
        time.sleep(0.5)
