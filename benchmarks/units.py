"""Part (j): the cost of one delivery, one event and one client in each program, for `fanbench size`.

A check of the arithmetic of `fanbench size`, too. Runs of real programs, with few clients and many events or many
clients and few events, separate the costs of an event and of a delivery. For each program, CPU per second = events/s x
cost of an event + deliveries/s x cost of a delivery, by least squares. Three other runs are then compared with the
prediction of `fanbench size`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.figures import Bar, Figure, FigureRow, FigureTable
from benchmarks.machine import Cores, on_cores
from brokers.contenders import find_contender
from core.scenario import Scenario
from harness.results.run_record import Run
from harness.runner.run import run_once
from harness.size.plan import HostLimits, SizedPlan, WantedLoad, size
from harness.size.units import BrokerUnits, GeneratorUnits, ProgramUnits, UnitCosts, read_units

LIMIT = 0.20
CONTENDER = "valkey"
US = 1_000_000


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """The number of clients, and of events per second."""

    clients: int
    rate_hz: float


@dataclass(frozen=True, slots=True)
class UnitsSize:
    """The runs for the costs, the runs for the check, and how long and how often each is measured."""

    known: tuple[LoadPoint, ...]
    foretold: tuple[LoadPoint, ...]
    seconds: float
    rounds: int


FULL = UnitsSize(
    known=(LoadPoint(20, 200), LoadPoint(1_000, 20), LoadPoint(2_000, 10), LoadPoint(200, 100)),
    foretold=(LoadPoint(1_500, 15), LoadPoint(500, 50), LoadPoint(3_000, 8)),
    seconds=4.0,
    rounds=3,
)
_FEW = (LoadPoint(5, 50), LoadPoint(40, 20))
QUICK = UnitsSize(known=_FEW, foretold=_FEW[1:], seconds=0.5, rounds=1)


def units(what: UnitsSize, folder: Path, cores: Cores, say: Callable[[str], None]) -> FigureTable:
    """Measure the costs, and compare the other runs with them."""
    with on_cores(cores):  # as `fanbench compare` runs
        points = list(dict.fromkeys([*what.known, *what.foretold])) * what.rounds
        runs = [_run(point, number, what.seconds, folder, say) for number, point in enumerate(points)]
    known = [run for run in runs if LoadPoint(run.scenario.clients, run.scenario.rate_hz) in what.known]
    costs = costs_of(known)
    rows = [_row_of_costs("replica", costs.replica), _row_of_costs("worker", costs.worker)]
    rows.append(FigureRow("generator", {"event us": Figure.of([costs.generator.event_us])}))
    rows.append(FigureRow("broker", {"event us": Figure.of([costs.broker.event_us + costs.broker.copy_us])}))
    errors = []
    for point in what.foretold:
        found = [run for run in runs if LoadPoint(run.scenario.clients, run.scenario.rate_hz) == point]
        errors.append(worst_error(found, costs))
        rows.append(FigureRow(f"{point.clients:,} x {point.rate_hz:g}/s", _held(found, costs)))
    bar = Bar("fanbench size against three runs, worst of CPU and bytes", Figure.of([max(errors)]), LIMIT, unit="off")
    notes = [
        f"{run.scenario.clients} x {run.scenario.rate_hz:g}/s refused: {run.problems[0]}"
        for run in runs
        if run.problems
    ]
    return FigureTable(
        "units", f"(j) costs per unit, {CONTENDER}, one replica, one process of the load", rows, [bar], notes
    )


def _run(point: LoadPoint, number: int, seconds: float, folder: Path, say: Callable[[str], None]) -> Run:
    say(f"costs per unit: {point.clients} clients x {point.rate_hz:g} events/s")
    scenario = Scenario(
        name="units", clients=point.clients, rate_hz=point.rate_hz, replicas=1, warmup_s=seconds / 4, duration_s=seconds, load_processes=1
    )  # fmt: skip
    return run_once(find_contender(CONTENDER), scenario, number, folder / f"units-{number}", lambda _: None)


def core_of(run: Run, part: str) -> float:
    """A part's CPU seconds per second."""
    return run.usage[part].cpu_s / run.scenario.duration_s


def costs_of(runs: Sequence[Run]) -> UnitCosts:
    """The costs with the best relative fit to the runs; memory comes from the committed table."""
    committed = read_units()
    replica, worker = _fitted(runs, "server"), _fitted(runs, "load")
    generator_us, broker_us = (_per_event(runs, part) for part in ("generator", "broker"))
    frame_bytes = float(np.median([run.figures["event_bytes"] for run in runs if "event_bytes" in run.figures]))
    return committed.model_copy(
        update={
            "replica": ProgramUnits(**committed.replica.model_dump() | replica),
            "worker": ProgramUnits(**committed.worker.model_dump() | worker),
            "generator": GeneratorUnits(event_us=generator_us),
            "broker": BrokerUnits(event_us=broker_us / 2, copy_us=broker_us / 2),
            "wire": committed.wire.model_copy(update={"frame_bytes": frame_bytes}),
        }
    )


def _fitted(runs: Sequence[Run], part: str) -> dict[str, float]:
    loads = np.array([(run.scenario.rate_hz, run.scenario.rate_hz * run.scenario.clients) for run in runs])
    used = np.array([core_of(run, part) for run in runs])
    # Each equation is divided by its right side, so that the relative error counts.
    event, delivery = np.linalg.lstsq(loads / used[:, None], np.ones(len(runs)), rcond=None)[0] * US
    return {"event_us": max(0.0, float(event)), "delivery_us": max(0.001, float(delivery))}


def _per_event(runs: Sequence[Run], part: str) -> float:
    """The slope over the rate: the program's usage without events does not belong to an event."""
    rates = np.array([(run.scenario.rate_hz, 1.0) for run in runs])
    slope, _ = np.linalg.lstsq(rates, np.array([core_of(run, part) for run in runs]), rcond=None)[0] * US
    return max(0.0, float(slope))


def foretell(run: Run, costs: UnitCosts) -> SizedPlan:
    """The prediction of `fanbench size` for that run's load."""
    scenario = run.scenario
    wanted = WantedLoad(scenario.clients, scenario.rate_hz, 1, 1, payload_bytes=scenario.payload_bytes)
    return size(wanted, costs, HostLimits())


def _pairs(runs: Sequence[Run], costs: UnitCosts) -> dict[str, tuple[float, float]]:
    """Predicted and measured figures, medians over the rounds."""
    plan = foretell(runs[0], costs)
    wire = costs.wire
    measured_bytes = [run.figures["event_bytes"] + wire.packet_bytes for run in runs if "event_bytes" in run.figures]
    gbit_s = [
        run.delivered / run.scenario.duration_s * size_bytes * 8 / 1e9
        for run, size_bytes in zip(runs, measured_bytes, strict=False)
    ]
    return {
        "replica core": (plan.replica_core, float(np.median([core_of(run, "server") for run in runs]))),
        "worker core": (plan.worker_core, float(np.median([core_of(run, "load") for run in runs]))),
        "Gbit/s": (plan.gbit_s, float(np.median(gbit_s)) if gbit_s else plan.gbit_s),
    }


def _held(runs: Sequence[Run], costs: UnitCosts) -> dict[str, Figure]:
    return {
        f"{what} {kind}": Figure.of([value])
        for what, pair in _pairs(runs, costs).items()
        for kind, value in zip(("foretold", "measured"), pair, strict=True)
    }


def worst_error(runs: Sequence[Run], costs: UnitCosts) -> float:
    """The largest relative error of the predicted figures."""
    return max(abs(foretold / measured - 1) for foretold, measured in _pairs(runs, costs).values())


def _row_of_costs(name: str, one: ProgramUnits) -> FigureRow:
    figures = {"delivery us": one.delivery_us, "event us": one.event_us}
    return FigureRow(name, {title: Figure.of([value]) for title, value in figures.items()})
