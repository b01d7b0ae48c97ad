"""`fanbench demo`: the whole system on one machine without Docker, to watch in a browser."""

from __future__ import annotations

import shlex
import shutil
import socket
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from brokers.anti_patterns import refuse_anti_pattern
from brokers.contender import Contender
from brokers.contenders import find_contender
from brokers.programs.catalogue import Launch
from core.errors import UsageError
from core.ports import free_ports
from core.process import Child
from core.scenario import Scenario
from harness.runner.contenders import require_answer
from harness.runner.processes import Children, ReplicaProcess, preload, start_generator, start_replica, wait_ready
from harness.runner.proxy import find_nginx, start_proxy


def demo_command(name: str, scenario: Scenario, port: int, launch: Launch = "auto") -> int:
    """Start broker, replicas and generator; print the addresses; end with Ctrl-C. Returns the exit code.

    Raises:
        UsageError: the contender cannot run here, or the port cannot be used. FanbenchError: a program ended; its log,
            which the message names, is kept.
    """
    contender = find_contender(name).launched_by(launch)
    refuse_anti_pattern(contender, "page")
    contender.require_runnable()
    if contender.program is None:
        require_answer(contender)
    _require_free(port)
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="fanbench-demo-"))
    preload()
    try:
        with contender.launched(folder) as broker, Children() as children:
            _run(console, contender, broker.url, scenario, port, folder, children)
    except KeyboardInterrupt:
        console.print("stopped")
    shutil.rmtree(folder)
    return 0


def _run(
    console: Console, contender: Contender, url: str, scenario: Scenario, port: int, folder: Path, children: Children
) -> None:
    settings: dict[str, object] = {"broker_url": url, "delivery": contender.delivery}
    schedule = {"rate_hz": scenario.rate_hz, "topics": scenario.topics, "payload_bytes": scenario.payload_bytes}
    nginx = find_nginx()
    ports = free_ports(scenario.replicas) if nginx else [port, *free_ports(scenario.replicas - 1)]
    replicas = [
        start_replica(f"replica-{i}", at, settings | (schedule if contender.embedded else {}), folder)
        for i, at in enumerate(ports, start=1)
    ]
    for replica in replicas:
        children.add(replica.child)
    wait_ready(replicas)
    others = []
    if not contender.embedded:
        generator, _ = start_generator(settings | schedule, folder)
        others.append(children.add(generator))
    behind = [f"127.0.0.1:{replica.port}" for replica in replicas]
    front = start_proxy(nginx, f"127.0.0.1:{port}", behind, folder, children) if nginx else None
    _say(console, contender.name, front.url if front else None, replicas, scenario, folder)
    _watch(console, replicas, [*others, front.child] if front else others)


def _require_free(port: int) -> None:
    if not 1 <= port <= 65_535:
        raise UsageError(f"port {port}: it is not between 1 and 65535; give another one with --port")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageError(f"port {port}: {error}; give another one with --port") from error


def _say(
    console: Console, name: str, front: str | None, replicas: list[ReplicaProcess], scenario: Scenario, folder: Path
) -> None:
    def line(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    url = front or replicas[0].url
    line(f"{name}, {len(replicas)} replicas, {scenario.rate_hz:g} events/s. Ctrl-C stops it.")
    line(f"  open      {url}/")
    line(f"  or        curl -N {url}/sse")
    line(
        f"  replicas  {'  '.join(replica.url for replica in replicas)}"
        + ("" if front else "  (nginx is not installed, so there is no proxy)")
    )
    locust = shlex.quote(str(Path(sysconfig.get_path("scripts"), "fanbench-locust")))
    line(f"  load      {locust} --headless -u 200 -r 100 -t 20s --host {url}")
    line(f"  numbers   {replicas[0].url}/stats")
    line(f"  logs      {folder}")


def _watch(console: Console, replicas: Sequence[ReplicaProcess], others: Sequence[Child]) -> NoReturn:
    """Wait until one of `others` or the last replica ends; the death of a replica is part of the demo."""
    living = list(replicas)
    while True:
        for child in others:
            child.require_alive()
        for replica in [replica for replica in living if replica.child.returncode is not None]:
            living.remove(replica)
            if not living:
                replica.child.require_alive()
            left = ", ".join(other.name for other in living)
            console.print(f"{replica.name} ended; its clients continue at {left}", highlight=False)
        time.sleep(0.5)
