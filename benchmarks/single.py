"""Part (i): the CPU of an event if each topic has one client, so that nothing is shared, and how fast topics come and go.

The CPU is measured in complete runs of `fanbench compare`, which check themselves: the notes name each refused run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Bar, Figure, FigureRow, FigureTable
from benchmarks.machine import Cores, on_cores
from brokers.contenders import find_contender
from core.scenario import Scenario, parse_scenario
from harness.results.run_record import Run
from harness.runner.run import run_once

LIMITS_US = {"server": 45.0, "generator": 45.0, "load": 35.0}
WHO = {"server": "replica", "generator": "generator", "load": "load"}
JUDGED_HZ = 6_000.0
VALID_HZ = 8_000.0
FIRST_EVENT_LIMIT_MS = 50.0


@dataclass(frozen=True, slots=True)
class SingleSize:
    """Events per second over this many topics, sessions started per second, seconds and rounds."""

    rates_hz: tuple[float, ...]
    arrivals_hz: tuple[float, ...]
    topics: int
    seconds: float
    rounds: int
    contenders: tuple[str, ...] = ("valkey", "nats")

    def scenarios(self) -> dict[str, Scenario]:
        """The load of each row, by its name."""
        common = {"replicas": 1, "warmup_s": min(1.0, self.seconds), "duration_s": self.seconds}
        steady = {
            "clients": self.topics,
            "topics": f"t-{{0..{self.topics - 1}}}",
            "payload_bytes": 160,
            "schedule": "poisson",
        }
        short = {"topic_lifetime_s": (0.5, 1.0), "topic_rate_hz": (2.0, 4.0), "stamp": "compact"}
        fields = {f"{rate:,.0f} events/s": steady | {"rate_hz": rate} for rate in self.rates_hz}
        fields |= {
            f"{arrivals:,.0f} topics/s": short | {"topic_arrivals_hz": arrivals} for arrivals in self.arrivals_hz
        }
        return {row: parse_scenario({"name": "single"} | common | found, where=row) for row, found in fields.items()}


FULL = SingleSize((1_000, JUDGED_HZ, VALID_HZ, 10_000), (500, 1_000), topics=100, seconds=5.0, rounds=3)
QUICK = SingleSize((200,), (50,), topics=20, seconds=1.5, rounds=1, contenders=("valkey",))


def single(size: SingleSize, folder: Path, cores: Cores, say: Callable[[str], None]) -> FigureTable:
    """Run each scenario with each available contender in turn."""
    chosen = [find_contender(name) for name in size.contenders]
    scenarios = size.scenarios()
    found: dict[tuple[str, str], list[Run]] = {}
    with on_cores(cores):  # as `fanbench compare` runs
        for number in range(size.rounds):
            pairs = [(one, row) for one in chosen if one.runnable for row in scenarios]
            for one, row in random.Random(number).sample(pairs, len(pairs)):
                say(f"{row}: {one.name}, round {number + 1} of {size.rounds}")
                home = folder / f"single-{number}-{one.file_name}-{row.replace('/', '-').replace(' ', '-')}"
                run = run_once(one, scenarios[row], number, home, lambda _: None)
                found.setdefault((one.name, row), []).append(run)
    rows = [FigureRow(f"{name}, {row}", _figures(runs)) for (name, row), runs in sorted(found.items())]
    refused = [
        f"{name}, {row}: refused: {problem}"
        for (name, row), runs in sorted(found.items())
        for problem in dict.fromkeys(problem for run in runs for problem in run.problems)
    ]
    return FigureTable(
        "single",
        f"(i) CPU of an event for one client, {size.topics} topics, 160 bytes, Poisson; and topics that live 0.5 to 1 s",
        rows,
        [bar for name in size.contenders for bar in _bars(name, found)],
        [*refused, *(f"{one.name} left out: {one.install_hint}" for one in chosen if not one.runnable)],
    )


def _figures(runs: Sequence[Run]) -> dict[str, Figure]:
    parts = [part for part in ("broker", *LIMITS_US) if part in runs[0].usage]
    figures = {f"{part} us": Figure.of([_us(run, part) for run in runs]) for part in parts}
    figures["p99 ms"] = Figure.of([run.histograms["latency"].percentile_ms(99) for run in runs])
    if runs[0].scenario.sessions:
        figures["first event p99 ms"] = Figure.of([run.figures["first_event_p99_ms"] for run in runs])
    return figures | {"valid": _valid(runs)}


def _us(run: Run, part: str) -> float:
    """Microseconds of a part's CPU for each event."""
    return run.usage[part].cpu_s / max(1, run.published) * 1e6


def _valid(runs: Sequence[Run]) -> Figure:
    return Figure.of([float(run.valid) for run in runs])


def _bars(name: str, found: Mapping[tuple[str, str], Sequence[Run]]) -> list[Bar]:
    bars = []
    for row, runs in ((row, runs) for (one, row), runs in found.items() if one == name):
        scenario = runs[0].scenario
        if scenario.sessions:
            if scenario.topic_arrivals_hz == min(FULL.arrivals_hz):
                first = Figure.of([run.figures["first_event_p99_ms"] for run in runs])
                bars.append(
                    Bar(f"{name}, {row}: subscribe to first event, p99", first, FIRST_EVENT_LIMIT_MS, unit="ms")
                )
        elif scenario.rate_hz == JUDGED_HZ:
            for part, limit_us in LIMITS_US.items():
                cost = Figure.of([_us(run, part) for run in runs])
                bars.append(Bar(f"{name}, {row}: CPU of the {WHO[part]} an event", cost, limit_us, unit="us"))
        if scenario.sessions or scenario.rate_hz in (JUDGED_HZ, VALID_HZ):
            bars.append(Bar(f"{name}, {row}: runs that are valid", _valid(runs), 1, at_least=True, unit=""))
    return bars
