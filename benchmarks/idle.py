"""Part (d): the cost of a connection before any event: memory on both sides, and how fast connections are accepted."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Bar, Figure, FigureRow, FigureTable
from benchmarks.locust_process import OURS, LocustProcess
from benchmarks.machine import Cores, cpu_ns, memory_bytes, tree
from benchmarks.rivals import Rival, able, left_out, start_raw_write
from benchmarks.window import EpollReader

SERVER_LIMIT_KB, LOCUST_LIMIT_KB, CONNECTS_HZ = 10, 16, 3_000
KB = 1000
_FEW = 50
"""Clients that connect before the count begins: the first ones allocate what all share."""


@dataclass(frozen=True, slots=True)
class IdleSize:
    """The number of connections and rounds."""

    clients: int
    rounds: int


FULL = IdleSize(5_000, 3)
QUICK = IdleSize(100, 1)


def idle(
    contenders: Sequence[Rival], size: IdleSize, folder: Path, cores: Cores, say: Callable[[str], None]
) -> list[FigureTable]:
    """One table for the servers, one for Locust."""
    return [_servers(contenders, size, folder, cores, say), _locust(size, folder, cores, say)]


def _servers(
    contenders: Sequence[Rival], size: IdleSize, folder: Path, cores: Cores, say: Callable[[str], None]
) -> FigureTable:
    here, obstacles = able(contenders)
    kb: dict[str, list[float]] = {one.name: [] for one in here}
    wall_hz: dict[str, list[float]] = {one.name: [] for one in here}
    core_hz: dict[str, list[float]] = {one.name: [] for one in here}
    rng = random.Random(size.clients)
    for number in range(size.rounds):
        for place, contender in enumerate(rng.sample(here, len(here))):
            say(f"{size.clients} idle clients: {contender.name}, round {number + 1} of {size.rounds}")
            home = folder / f"idle-{number}-{place}"
            home.mkdir()
            with contender.start(home, cores) as server, EpollReader(server.port, _FEW, cores.others):
                pids = tree(server.pid)
                bytes_before, ns_before = memory_bytes(pids), cpu_ns(pids)
                with EpollReader(server.port, size.clients, cores.others) as reader:
                    core_hz[contender.name].append(size.clients / (cpu_ns(pids) - ns_before) * 1e9)
                    kb[contender.name].append((memory_bytes(pids) - bytes_before) / size.clients / KB)
                    wall_hz[contender.name].append(size.clients / reader.opened_s)
    columns = {"KB/connection": kb, "connects/s": wall_hz, "connects/s of CPU": core_hz}
    rows = [
        FigureRow(one.name, {title: Figure.of(found[one.name]) for title, found in columns.items()}, one.what)
        for one in here
    ]
    ours = next(row.figures for row in rows if row.name == "fanbench")
    bars = [
        Bar("replica's memory per idle connection", ours["KB/connection"], SERVER_LIMIT_KB, unit="KB"),
        # Not by wall clock: other processes, and the reader itself, take a share of it.
        Bar("connections accepted per second of CPU", ours["connects/s of CPU"], CONNECTS_HZ, at_least=True, unit="/s"),
    ]
    return FigureTable(
        "idle-servers", f"(d) {size.clients:,} idle connections: servers", rows, bars, left_out(obstacles)
    )


def _locust(size: IdleSize, folder: Path, cores: Cores, say: Callable[[str], None]) -> FigureTable:
    kb = []
    for number in range(size.rounds):
        say(f"{size.clients} idle clients: Locust, round {number + 1} of {size.rounds}")
        used = [
            _locust_bytes(clients, folder / f"locust-{number}-{clients}", cores) for clients in (_FEW, size.clients)
        ]
        kb.append((used[1] - used[0]) / (size.clients - _FEW) / KB)
    row = FigureRow("load/sse.py", {"KB/user": Figure.of(kb)}, "a Locust user with its reader and its ledger")
    bar = Bar("Locust's memory per user", row.figures["KB/user"], LOCUST_LIMIT_KB, unit="KB")
    return FigureTable("idle-locust", f"(d) {size.clients:,} idle connections: Locust", [row], [bar])


def _locust_bytes(clients: int, home: Path, cores: Cores) -> int:
    home.mkdir()
    with (
        start_raw_write(home, Cores(cores.others, cores.measured)) as server,
        LocustProcess(OURS, server.port, clients, home, cores.measured) as load,
    ):
        return memory_bytes(tree(load.pid))
