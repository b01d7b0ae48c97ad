"""Part (a): the server's CPU per delivery, ours beside its floor and its neighbours, at equal offered load.

All run at the same time with their clients connected, one of them at a time is fed: what disturbs the machine for a
second disturbs one window of each, not one contender.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import Contender, Server, able
from benchmarks.figures import Bar, Figure, Row, Table
from benchmarks.machine import Cores
from benchmarks.window import EpollReader, measure
from core.errors import FanbenchError

JUDGED_CLIENTS = 2_000
RAW_LIMIT, NCHAN_LIMIT = 1.35, 0.80


@dataclass(frozen=True, slots=True)
class Size:
    """How many clients, how many events a second for each of them, for how many seconds and rounds."""

    clients: int
    rate_hz: float
    seconds: float
    rounds: int


FULL = (Size(100, 400, 1.5, 3), Size(2_000, 20, 1.5, 5), Size(10_000, 4, 2.0, 3))
QUICK = (Size(40, 50, 0.3, 2),)


@dataclass(frozen=True, slots=True)
class _Running:
    contender: Contender
    server: Server
    reader: EpollReader


def fanout(
    contenders: Sequence[Contender], size: Size, folder: Path, cores: Cores, say: Callable[[str], None]
) -> Table:
    """Run every contender that can run here, at one size."""
    here, notes = able(contenders)
    with contextlib.ExitStack() as stack:
        running = []
        for contender in here:
            say(f"{size.clients} clients: connecting to {contender.name}")
            home = folder / f"{size.clients}-{contender.name.replace(' ', '-').replace('/', '-')}"
            home.mkdir(parents=True)
            server = stack.enter_context(contender.start(home, cores))
            reader = stack.enter_context(EpollReader(server.port, size.clients, cores.others))
            running.append(_Running(contender, server, reader))
        rows = _measure_in_turn(running, size, say)
    return Table(
        f"fanout-{size.clients}",
        f"(a) server CPU per delivery: {size.clients:,} clients x {size.rate_hz:g} events/s",
        rows,
        _bars(rows, size),
        notes,
    )


def _measure_in_turn(running: Sequence[_Running], size: Size, say: Callable[[str], None]) -> list[Row]:
    spent: dict[str, list[float]] = {one.contender.name: [] for one in running}
    sizes: dict[str, float] = {}
    rng = random.Random(size.clients)
    for number in range(size.rounds + 1):  # the first is to warm up
        for one in rng.sample(running, len(running)):
            name = one.contender.name
            say(f"{size.clients} clients: {name}, round {number} of {size.rounds}")
            before = one.reader.count()
            try:
                used = measure(one.server.pid, one.server, one.reader, size.rate_hz, size.seconds)
            except FanbenchError as error:
                raise FanbenchError(f"{name}: {error}") from error
            after = one.reader.count()
            sizes[name] = (after["bytes"] - before["bytes"]) / used.deliveries
            if number:
                spent[name].append(used.us)
    return _rows(running, {name: Figure.of(us) for name, us in spent.items()}, sizes)


def _rows(running: Sequence[_Running], us: dict[str, Figure], sizes: dict[str, float]) -> list[Row]:
    rows = []
    for one in running:
        name = one.contender.name
        figures = {"us/delivery": us[name]}
        figures |= {f"x {other}": us[name].over(us[other]) for other in ("raw write", "nchan") if other in us}
        figures["bytes/delivery"] = Figure.of([round(sizes[name])])
        rows.append(Row(name, figures, one.contender.what))
    return rows


def _bars(rows: Sequence[Row], size: Size) -> list[Bar]:
    if size.clients != JUDGED_CLIENTS:
        return []
    ours = next(row.figures for row in rows if row.name == "fanbench")
    limits = {"raw write": RAW_LIMIT, "nchan": NCHAN_LIMIT}
    return [
        Bar(f"replica's CPU per delivery over {other}'s", ours[f"x {other}"], limit)
        for other, limit in limits.items()
        if f"x {other}" in ours
    ]
