"""Part (a): the server's CPU per delivery, compared with its floor and its alternatives, at equal offered load.

All run at the same time with their clients connected, but only one is fed at a time: a disturbance of a second hits a
window of each, not one contender.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Bar, Figure, FigureRow, FigureTable
from benchmarks.machine import Cores
from benchmarks.rivals import Rival, RivalProcess, able, left_out
from benchmarks.window import EpollReader, measure
from core.errors import FanbenchError
from harness.runner.host import SPARE_DESCRIPTORS, descriptor_limit

JUDGED_CLIENTS = 2_000
OURS = "fanbench"
LIMITS = {"raw write": 1.35, "nchan": 0.80}
FLATNESS = (
    "the kernel's own part grows with its sockets, see the raw write; `make scaling` judges how flat the product is"
)


@dataclass(frozen=True, slots=True)
class FanoutSize:
    """The number of clients, events per second for each, seconds and rounds."""

    clients: int
    rate_hz: float
    seconds: float
    rounds: int


FULL = (FanoutSize(100, 400, 1.5, 3), FanoutSize(2_000, 20, 1.5, 5), FanoutSize(10_000, 4, 2.0, 3))
QUICK = (FanoutSize(40, 50, 0.3, 2),)


@dataclass(frozen=True, slots=True)
class _RunningRival:
    contender: Rival
    server: RivalProcess
    reader: EpollReader


def fanout(
    contenders: Sequence[Rival], sizes: Sequence[FanoutSize], folder: Path, cores: Cores, say: Callable[[str], None]
) -> Iterator[FigureTable]:
    """Measure every contender that can run here at each size, then how the cost depends on the number of clients."""
    here, obstacles = able(contenders)
    found: dict[int, dict[str, Figure]] = {}
    for size in sizes:
        name, title = f"fanout-{size.clients}", f"(a) server CPU per delivery: {size.clients:,} clients"
        if size.clients + SPARE_DESCRIPTORS > descriptor_limit():
            yield FigureTable(name, title, [], notes=[_too_many(size.clients)])
            continue
        rows = _at(here, size, folder, cores, say)
        found[size.clients] = {row.name: row.figures["us/delivery"] for row in rows}
        title += f" x {size.rate_hz:g} events/s offered"
        yield FigureTable(name, title, rows, _bars(rows, size, obstacles), left_out(obstacles))
    yield _by_size(found, [size.clients for size in sizes])


def _too_many(clients: int) -> str:
    return f"{clients:,} clients left out: a process here may hold {descriptor_limit():,} descriptors; raise ulimit -Hn"


def _at(
    here: Sequence[Rival], size: FanoutSize, folder: Path, cores: Cores, say: Callable[[str], None]
) -> list[FigureRow]:
    with contextlib.ExitStack() as stack:
        running = []
        for contender in here:
            say(f"{size.clients} clients: connecting to {contender.name}")
            home = folder / f"{size.clients}-{contender.name.replace(' ', '-').replace('/', '-')}"
            home.mkdir(parents=True)
            server = stack.enter_context(contender.start(home, cores))
            reader = stack.enter_context(EpollReader(server.port, size.clients, cores.others))
            running.append(_RunningRival(contender, server, reader))
        return _measure_in_turn(running, size, say)


def _measure_in_turn(running: Sequence[_RunningRival], size: FanoutSize, say: Callable[[str], None]) -> list[FigureRow]:
    us: dict[str, list[float]] = {one.contender.name: [] for one in running}
    achieved_hz: dict[str, list[float]] = {one.contender.name: [] for one in running}
    sizes: dict[str, float] = {}
    rng = random.Random(size.clients)
    for number in range(size.rounds + 1):  # the first one is the warm-up
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
                us[name].append(used.us)
                achieved_hz[name].append(used.achieved_hz)
    cost = {name: Figure.of(found) for name, found in us.items()}
    rows = []
    for one in running:
        name = one.contender.name
        figures = {"us/delivery": cost[name]}
        figures |= {f"x {other}": cost[name].over(cost[other]) for other in LIMITS if other in cost}
        figures |= {"events/s": Figure.of(achieved_hz[name]), "bytes/delivery": Figure.of([round(sizes[name])])}
        rows.append(FigureRow(name, figures, one.contender.what))
    return rows


def _bars(rows: Sequence[FigureRow], size: FanoutSize, obstacles: Mapping[str, str]) -> list[Bar]:
    if size.clients != JUDGED_CLIENTS:
        return []
    ours = next(row.figures for row in rows if row.name == OURS)
    return [
        Bar(
            f"replica's CPU per delivery over {other}'s",
            ours.get(f"x {other}"),
            limit,
            obstacle=obstacles.get(other, ""),
        )
        for other, limit in LIMITS.items()
    ]


def _by_size(found: Mapping[int, Mapping[str, Figure]], wanted: Sequence[int]) -> FigureTable:
    """The medians side by side; sizes are measured in turn, so the floor's row shows our own share."""
    rows = []
    for name in next(iter(found.values()), {}):
        medians = {clients: at[name].median for clients, at in found.items()}
        figures = {f"us at {clients:,}": Figure.of([us]) for clients, us in medians.items()}
        rows.append(
            FigureRow(name, figures | {"most / least": Figure.of([max(medians.values()) / min(medians.values())])})
        )
    notes = [_too_many(clients) for clients in wanted if clients not in found] + [FLATNESS]
    return FigureTable("fanout-sizes", "(a) server CPU per delivery by number of clients, us", rows, notes=notes)
