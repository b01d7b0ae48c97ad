"""Part (f): the time of a `fanbench compare` run other than warm-up and measurement, phase by phase."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Bar, Figure, FigureRow, FigureTable
from benchmarks.machine import Cores, on_cores
from brokers.contender import Contender
from brokers.contenders import find_contender
from core.scenario import Scenario
from harness.runner.run import run_once

LIMIT_S = 4.0
JUDGED = "valkey"
PHASES = {
    "broker": "s to start the broker",
    "starting replicas and clients": "s to start replicas, generator, Locust",
    "connecting": "s to connect and probe",
    "draining": "s to drain and end",
}
"""The runner's message at the start of each phase; warming up and measuring are the scenario's own seconds."""


@dataclass(frozen=True, slots=True)
class FixedCostSize:
    """The number of clients and rounds, and the contenders."""

    clients: int
    rounds: int
    contenders: tuple[str, ...]


FULL = FixedCostSize(500, 3, ("memory", "valkey", "nats", "mosquitto", "rabbitmq"))
QUICK = FixedCostSize(20, 1, ("valkey",))


def fixed(size: FixedCostSize, folder: Path, cores: Cores, say: Callable[[str], None]) -> FigureTable:
    """Run each installed contender a few times; RabbitMQ has no bar, because its Erlang VM alone takes longer."""
    chosen = [find_contender(name) for name in size.contenders]
    here = [one for one in chosen if one.runnable]
    scenario = Scenario(name="fixed", clients=size.clients, warmup_s=0.5, duration_s=1.0)
    found: dict[str, list[dict[str, float]]] = {one.name: [] for one in here}
    with on_cores(cores):  # as `fanbench compare` runs
        for number in range(size.rounds):
            for one in random.Random(number).sample(here, len(here)):
                say(f"fixed cost: {one.name}, round {number + 1} of {size.rounds}")
                home = folder / f"fixed-{number}-{one.file_name}"
                found[one.name].append(_phases(one, scenario, number, home))
    rows = [FigureRow(name, _figures(rounds)) for name, rounds in found.items()]
    ours = next(row.figures["s in addition to the scenario's own"] for row in rows if row.name == JUDGED)
    return FigureTable(
        "fixed",
        f"(f) fixed cost of a run: {size.clients:,} clients, {scenario.replicas} replicas, 500 connections opened a second",
        rows,
        [Bar(f"a run's fixed cost, {JUDGED}", ours, LIMIT_S, unit="s")],
        [f"{one.name} left out: {one.install_hint}" for one in chosen if not one.runnable],
    )


def _phases(contender: Contender, scenario: Scenario, number: int, home: Path) -> dict[str, float]:
    """Seconds of each phase, by the runner's messages."""
    begun: list[tuple[str, float]] = [("broker", time.monotonic())]
    run_once(contender, scenario, number, home, lambda phase: begun.append((phase, time.monotonic())))
    ends = [at for _, at in begun[1:]] + [time.monotonic()]
    return {phase: end - at for (phase, at), end in zip(begun, ends, strict=True)} | {
        "all": ends[-1] - begun[0][1] - scenario.warmup_s - scenario.duration_s
    }


def _figures(rounds: Sequence[dict[str, float]]) -> dict[str, Figure]:
    figures = {title: Figure.of([one[phase] for one in rounds]) for phase, title in PHASES.items()}
    return figures | {"s in addition to the scenario's own": Figure.of([one["all"] for one in rounds])}
