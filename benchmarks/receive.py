"""`python -m benchmarks.receive`: compares a bare reader that receives by io_uring with the bare epoll reader and `load/sse.py`.

Each holds the same number of clients at its own raw server, and they are fed in turn. The server is not slowed down for any of them.
docs/decisions/0021-batched-receives.md describes the result.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.figures import Figure, FigureRow, FigureTable
from benchmarks.locust_process import OURS, LocustProcess
from benchmarks.machine import Cores, cpu_ns, stay_on, tree
from benchmarks.report import print_table
from benchmarks.rivals import RivalProcess, start_raw_write
from benchmarks.window import READER, EpollReader, arrive, paced
from harness.runner.host import raise_descriptor_limit

RING = Path(__file__).with_name("ring_reader.py")
BARE, OURS_NAME = "bare reader", "load/sse.py"
WHAT = {
    BARE: "epoll and os.read, counting",
    "io_uring reader": "multishot receives into provided buffers, counting",
    OURS_NAME: "our Locust user: ledger, histograms, resume",
}


def _used_us(server: RivalProcess, load: EpollReader | LocustProcess, rate_hz: float, seconds: float) -> float:
    """Microseconds of CPU per delivery; all deliveries have arrived at the end."""
    pids = tree(load.pid)
    first, used_ns, events = load.delivered(), cpu_ns(pids), 0
    for number in paced(rate_hz, seconds):
        server.feed()
        events = number + 1
    arrive(load.delivered, first + events * load.clients, poll_s=0.05)
    return (cpu_ns(pids) - used_ns) / 1000 / (events * load.clients)


def receive(clients: int, rate_hz: float, seconds: float, rounds: int, folder: Path) -> FigureTable:
    """Measure each reader in turn, after a round to warm up."""
    cores, us = Cores.choose(), {name: list[float]() for name in WHAT}
    stay_on(cores.others)
    with contextlib.ExitStack() as stack:
        running: dict[str, tuple[RivalProcess, EpollReader | LocustProcess]] = {}
        for place, name in enumerate(WHAT):
            home = folder / str(place)
            home.mkdir()
            server = stack.enter_context(start_raw_write(home, Cores(cores.others, cores.measured)))
            load: EpollReader | LocustProcess
            if name == OURS_NAME:
                load = stack.enter_context(LocustProcess(OURS, server.port, clients, home, cores.measured))
            else:
                reader = READER if name == BARE else RING
                load = stack.enter_context(EpollReader(server.port, clients, cores.measured, 0, reader))
            running[name] = server, load
        for number in range(rounds + 1):
            for name in random.Random(number).sample(list(WHAT), len(WHAT)):
                used = _used_us(*running[name], rate_hz, seconds)
                us[name] += [used] * (number > 0)
    figures = {name: Figure.of(found) for name, found in us.items()}
    rows = [
        FigureRow(name, {"us/delivery": found, "x bare": found.over(figures[BARE]), "x load": found.over(figures[OURS_NAME])}, WHAT[name])
        for name, found in figures.items()
    ]  # fmt: skip
    return FigureTable("receive", f"CPU per delivery: {clients:,} clients x {rate_hz:g} events/s", rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.receive", description=__doc__)
    parser.add_argument("--clients", type=int, default=2_000)
    parser.add_argument("--rate", type=float, default=20.0, help="events per second")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory(prefix="fanbench-receive-") as folder:
        table = receive(given.clients, given.rate, given.seconds, given.rounds, Path(folder))
    print_table(table, Console(width=160), judged=False)


if __name__ == "__main__":
    main()
