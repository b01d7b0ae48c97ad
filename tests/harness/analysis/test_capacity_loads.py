"""The largest load that met another objective; refused runs are not failures."""

from __future__ import annotations

import pytest

from harness.analysis.capacity_loads import largest_held, load_of
from harness.analysis.slo import Slo
from harness.results.run_record import Run
from tests.harness import made_up

SLO = Slo.parse("p99<100ms, lost=0")


def at(clients: int, fanout_ms: float = 6.0, problems: tuple[str, ...] = ()) -> Run:
    scenario = made_up.SCENARIO.with_fields(clients=clients)
    return made_up.run(scenario=scenario, fanout_ms=fanout_ms, problems=problems)


@pytest.mark.parametrize(
    ("runs", "largest"),
    [
        ([at(20), at(40), at(80, 90)], 40),
        ([at(20), at(20, problems=("generator late",)), at(40)], 40),  # repeated, and passed
        ([at(20), at(40, 90, problems=("generator late",)), at(80)], 80),
        ([at(20), at(40, 90), at(80)], 20),  # a failure below counts
        ([at(20), at(40), at(40, 90)], 20),
        ([at(20, 90)], None),
        ([at(20, problems=("generator late",))], None),
        ([], None),
    ],
)
def test_every_valid_run_must_hold_and_refused_ones_say_nothing(runs: list[Run], largest: int | None) -> None:
    assert largest_held(runs, "clients", SLO) == largest


def test_the_load_is_what_the_search_varied() -> None:
    run = made_up.run(scenario=made_up.SCENARIO.with_fields(topics="room-{0..6}"))
    assert [load_of(run, axis) for axis in ("clients", "rate", "replicas", "topics")] == [50, 20, 2, 7]
