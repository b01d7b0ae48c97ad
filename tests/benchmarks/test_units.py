"""Costs per unit are derived from runs, and `fanbench size` predicts the cost of other runs."""

from pathlib import Path

import pytest

from benchmarks.machine import Cores
from benchmarks.units import FULL, LIMIT, costs_of, units, worst_error
from core.scenario import Scenario
from harness.results.run_record import Run, Usage
from tests.harness import made_up

EVENT_US, DELIVERY_US = 170.0, 7.0


def run_of(clients: int, rate_hz: float) -> Run:
    """A run in which a replica and the load have exactly these costs."""
    core = rate_hz * EVENT_US / 1e6 + clients * rate_hz * DELIVERY_US / 1e6
    seconds = 2.0
    usage = Usage(cpu_s=core * seconds, rss_mb=1.0, busiest_core=core)
    cheap = Usage(cpu_s=rate_hz * 100e-6 * seconds, rss_mb=1.0, busiest_core=0.1)
    scenario = Scenario(clients=clients, rate_hz=rate_hz, replicas=1, duration_s=seconds)
    return made_up.run(
        "valkey",
        1,
        scenario=scenario,
        usage={"server": usage, "load": usage, "generator": cheap, "broker": cheap},
        figures={"event_bytes": 300.0},
    )


def test_the_cost_of_each_unit_is_found_and_predicts_another_run() -> None:
    costs = costs_of([run_of(20, 200), run_of(1_000, 20), run_of(2_000, 10)])
    for program in (costs.replica, costs.worker):
        assert program.event_us == pytest.approx(EVENT_US)
        assert program.delivery_us == pytest.approx(DELIVERY_US)
    assert costs.generator.event_us == pytest.approx(100)
    assert costs.wire.frame_bytes == 300
    assert worst_error([run_of(500, 50)], costs) == pytest.approx(0, abs=0.001)


def test_an_error_is_the_relative_difference_in_cost() -> None:
    costs = costs_of([run_of(20, 200), run_of(1_000, 20)])
    dearer = costs.model_copy(update={"replica": costs.replica.model_copy(update={"delivery_us": DELIVERY_US * 2})})
    assert 0.8 < worst_error([run_of(1_000, 20)], dearer) < 1


@pytest.mark.soak
@pytest.mark.usefixtures("integration")
def test_three_runs_of_the_real_programs_are_predicted_within_a_fifth(tmp_path: Path) -> None:
    table = units(FULL, tmp_path, Cores.choose(), print)
    (bar,) = table.bars
    assert bar.figure is not None
    assert bar.figure.median <= LIMIT, [(row.name, {k: f.text() for k, f in row.figures.items()}) for row in table.rows]
