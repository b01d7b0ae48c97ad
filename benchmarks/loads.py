"""Part (b): the load's CPU per delivery: our Locust user compared with a bare epoll reader, `SSEUser` and a plain Locust user.

Each has the same number of clients at its own floor server; only one is fed at a time.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trustme

from benchmarks.figures import Bar, Figure, FigureRow, FigureTable
from benchmarks.locust_process import OURS, PLAIN, SSE_USER, LocustProcess
from benchmarks.machine import Cores, reads
from benchmarks.rivals import RivalProcess, start_raw_write, start_tls_write
from benchmarks.window import EpollReader, Used, measure_load

LIMIT = 1.3
USER_LIMIT = 1.5
WHAT = {
    "load/sse.py": "our Locust user: ledger, histograms, resume",
    "bare reader": "epoll and os.read, counting: the floor",
    "load/sse.py, TLS": "our Locust user over https://, one TLS record for each event",
    "SSEUser": "what other people's locustfiles build on: a function called per event, all of Locust's figures",
    "plain user": "a Locust user with requests, one Locust request per event",
}

SELDOM = ("load/sse.py, TLS", "plain user")
"""These have no bar: every third round is enough for their ratios, and saves two minutes."""
SELDOM_EVERY = 3

LOCUSTFILES = {"load/sse.py": OURS, "load/sse.py, TLS": OURS, "SSEUser": SSE_USER, "plain user": PLAIN}


@dataclass(frozen=True, slots=True)
class LoadSize:
    """The number of clients, events per second for each, seconds and rounds."""

    clients: int
    rate_hz: float
    seconds: float
    rounds: int


FULL = LoadSize(2_000, 20, 2.0, 15)  # rounds differ by 20%, so five are not enough; fifteen are
QUICK = LoadSize(40, 20, 0.5, 2)


ByRound = dict[int, float]
"""Values of a figure, each by its round's number."""


@dataclass(frozen=True, slots=True)
class _RunningReader:
    server: RivalProcess
    load: EpollReader | LocustProcess


def loads(size: LoadSize, folder: Path, cores: Cores, say: Callable[[str], None]) -> FigureTable:
    """Measure each load in turn."""
    with contextlib.ExitStack() as stack:
        running: dict[str, _RunningReader] = {}
        for name in WHAT:
            say(f"{size.clients} clients: connecting {name}")
            home = folder / name.replace("/", "-").replace(", ", "-")
            home.mkdir()
            authority = _certificates(home) if "TLS" in name else None
            start = start_raw_write if authority is None else start_tls_write(home / "server.pem")
            # The load is the measured program, so it has the core that servers have elsewhere.
            server = stack.enter_context(start(home, Cores(cores.others, cores.measured)))
            load = _hold(stack, name, server.port, size.clients, home, cores.measured, authority)
            running[name] = _RunningReader(server, load)
        used, syscalls = _in_turn(running, size, say)
    rows = []
    for name, what in WHAT.items():
        figures = {"us/delivery": _figure(used[name]), "x bare reader": _ratio(used[name], used["bare reader"])}
        figures["reads/delivery"] = _figure(syscalls[name])
        rows.append(FigureRow(name, figures, what))
    ours = rows[0].figures["x bare reader"]
    user = _ratio(used["SSEUser"], used["load/sse.py"])
    return FigureTable(
        "loads",
        f"(b) load CPU per delivery: {size.clients:,} clients x {size.rate_hz:g} events/s",
        rows,
        [
            Bar("Locust's CPU per delivery over a bare epoll reader's", ours, LIMIT),
            Bar("SSEUser's CPU per delivery over that of load/sse.py", user, USER_LIMIT),
        ],
    )


def _certificates(home: Path) -> Path:
    """Write server.pem with its key; return the file of the authority that signed it."""
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(home / "server.pem")
    authority.cert_pem.write_to_path(home / "ca.pem")
    return home / "ca.pem"


def _hold(
    stack: contextlib.ExitStack,
    name: str,
    port: int,
    clients: int,
    home: Path,
    core: int | None,
    authority: Path | None,
) -> EpollReader | LocustProcess:
    if name == "bare reader":
        return stack.enter_context(EpollReader(port, clients, core, pause_ms=0))
    return stack.enter_context(LocustProcess(LOCUSTFILES[name], port, clients, home, core, authority))


def _in_turn(
    running: dict[str, _RunningReader], size: LoadSize, say: Callable[[str], None]
) -> tuple[dict[str, ByRound], dict[str, ByRound]]:
    us: dict[str, ByRound] = {name: {} for name in running}
    syscalls: dict[str, ByRound] = {name: {} for name in running}
    rng = random.Random(size.clients)
    for number in range(size.rounds + 1):  # the first one is the warm-up
        taking_part = [
            name for name in running if name not in SELDOM or number % SELDOM_EVERY == 0 or number == size.rounds
        ]
        for name in rng.sample(taking_part, len(taking_part)):
            say(f"{name}: round {number} of {size.rounds}")
            one = running[name]
            before = reads(one.load.pid)
            used: Used = measure_load(
                one.load.pid, one.server, size.clients, one.load.delivered, size.rate_hz, size.seconds
            )
            if number:
                us[name][number] = used.us
                syscalls[name][number] = (reads(one.load.pid) - before) / used.deliveries
    return us, syscalls


def _figure(of: ByRound) -> Figure:
    return Figure.of(list(of.values()))


def _ratio(of: ByRound, to: ByRound) -> Figure:
    """Compare the rounds that both took part in."""
    return Figure.of([value / to[number] for number, value in of.items() if number in to])
