"""What `make scaling` derives from runs."""

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.scaling import AXES, SCENARIO, axis_of, point_of, runs_to_draw, scaling_jobs, write_points
from benchmarks.scaling_charts import draw
from benchmarks.scaling_claims import claims
from core.errors import UsageError
from core.histogram import Histogram
from harness.results.load import load_results
from harness.results.run_record import Run, Usage
from harness.results.store import open_results

ROOT = Path(__file__).resolve().parents[2]


def made_up_run(axis: str, value: int, latency_ms: list[int]) -> Run:
    """20 deliveries for each latency given, and 0.1 s of CPU in the replica."""
    histogram = Histogram()
    histogram.record_ns([ms * 1_000_000 for ms in latency_ms for _ in range(20)])
    scenario = SCENARIO.with_fields(**AXES[axis][0](value))
    usage = {"server": Usage(0.1, 50.0, 0.5), "load": Usage(0.2, 50.0, 0.5)}
    count = histogram.count
    run = Run("valkey", 1, "at-most-once", scenario, expected=count, delivered=count)
    return replace(run, histograms={"latency": histogram}, usage=usage)


@pytest.mark.slow
def test_every_point_of_every_axis_is_found_again_by_its_scenario() -> None:
    for axis, (fields, values, _) in AXES.items():
        for value in values:
            run = Run("valkey", 1, "at-most-once", SCENARIO.with_fields(**fields(value)))
            assert axis_of(run) == (axis, value)


def test_a_run_of_something_else_is_refused() -> None:
    with pytest.raises(UsageError, match="not a result of `make scaling`"):
        axis_of(Run("valkey", 1, "at-most-once", SCENARIO.with_fields(clients=7)))


def test_clients_share_the_same_deliveries() -> None:
    fields, values, _ = AXES["clients"]
    assert {SCENARIO.with_fields(**fields(n)).rate_hz * n for n in values} == {20_000}


def test_cost_is_for_each_delivery() -> None:
    point = point_of(made_up_run("clients", 100, [1, 2, 3, 4, 5]))
    assert (point.server_us, point.load_us) == (1000.0, 2000.0)
    assert point.deliveries_hz == pytest.approx(100 / SCENARIO.duration_s, abs=0.1)


def test_past_the_limit_throughput_counts_to_the_last_arrival_and_no_cost_is_shown() -> None:
    # The replica did not finish in the measured seconds, so its CPU does not cover all deliveries.
    point = point_of(made_up_run("rate", 160, [1, 3_000]))
    assert point.server_us is None
    assert point.deliveries_hz == pytest.approx(40 / (SCENARIO.duration_s + 3), rel=0.01)


def test_jobs_run_round_by_round() -> None:
    jobs = scaling_jobs(["replicas"], "memory", 2)
    assert [(job.round, job.scenario.replicas) for job in jobs] == [(r, n) for r in (1, 2) for n in AXES["replicas"][1]]


def test_a_flat_cost_is_measured_in_three_times_as_many_rounds() -> None:
    jobs = scaling_jobs(["replicas", "clients"], "memory", 1)
    assert [job.round for job in jobs if job.scenario.replicas == 8] == [1]
    assert [job.round for job in jobs if job.scenario.clients == 10_000] == [1, 2, 3]


def test_points_and_figure_show_every_run(tmp_path: Path) -> None:
    points = [point_of(made_up_run("clients", n, [1, 2])) for n in (100, 100, 1_000)]
    write_points(points, tmp_path / "points.csv")
    rows = list(csv.DictReader((tmp_path / "points.csv").open()))
    assert [row["value"] for row in rows] == ["100", "100", "1000"]
    draw([*points[:2], replace(points[2], valid=False)], "clients", tmp_path / "figure.svg")
    svg = (tmp_path / "figure.svg").read_text()
    for words in ("deliveries per second", "CPU microseconds per delivery", "latency, ms", "Locust", "p99", "1,000"):
        assert words in svg, words


def stored(folder: Path, *runs: Run) -> list[Run]:
    """Runs as read back from a result directory."""
    results = open_results(folder, "scaling", scenario=SCENARIO, command="", host={}, versions={})
    for run in runs:
        results.add_run(run)
    return load_results(results.finish(complete=True)).runs


def test_disturbed_runs_are_not_drawn_if_a_repeat_succeeded(tmp_path: Path) -> None:
    good = made_up_run("clients", 100, [1, 2, 3])
    disturbed = replace(made_up_run("clients", 100, [900]), problems=("others",), disturbed=True)
    drawn = runs_to_draw(stored(tmp_path, disturbed, good, made_up_run("clients", 300, [4])))
    assert [point_of(run).value for run in drawn] == [100, 300]
    assert [point_of(run).valid for run in drawn] == [True, True]


def test_a_load_that_disturbs_every_try_is_drawn_as_past_its_limit(tmp_path: Path) -> None:
    late = replace(made_up_run("rate", 160, [1, 3_000]), problems=("generator late",), disturbed=True)
    drawn = runs_to_draw(stored(tmp_path, late, late, made_up_run("rate", 40, [1])))
    assert [(point_of(run).value, point_of(run).valid) for run in drawn] == [(160, False), (160, False), (40, True)]


def claimed(axis: str, **figures: dict[int, float]) -> list[tuple[str, bool]]:
    """The claims about points with the given figures."""
    base = point_of(made_up_run(axis, AXES[axis][1][0], [1, 2]))
    values = next(iter(figures.values()))
    points = [
        replace(base, value=value, **{name: by_value[value] for name, by_value in figures.items()}) for value in values
    ]
    return [(claim.words, claim.met) for claim in claims(points)]


@pytest.mark.parametrize(("dearest", "met"), [(11.9, True), (12.1, False)])
def test_cost_per_delivery_is_flat_within_a_fifth(dearest: float, met: bool) -> None:
    [(words, found)] = claimed("clients", server_us={100: 10.0, 1_000: dearest, 10_000: 11.0})
    assert found is met
    assert f"{dearest / 10:.2f}" in words
    [(_, found)] = claimed("idle-topics", load_us={100: 10.0, 10_000: dearest}, server_us={100: 1.0, 10_000: 9.0})
    assert found is met


def test_idle_topics_may_make_a_delivery_cheaper_but_more_clients_may_not() -> None:
    falling = {100: 12.0, 1_000: 9.0, 10_000: 8.0}
    assert [met for _, met in claimed("idle-topics", load_us=falling)] == [True]
    assert [met for _, met in claimed("clients", server_us=falling)] == [False]


def test_nothing_is_claimed_if_a_value_has_no_valid_run() -> None:
    [(words, met)] = claimed(
        "clients", server_us={100: 10.0, 1_000: 10.0, 10_000: 10.0}, valid={100: True, 1_000: True, 10_000: False}
    )
    assert not met
    assert "no valid run at 10,000" in words


@pytest.mark.parametrize(("last", "met"), [(90_500.0, True), (89_000.0, False)])
def test_throughput_does_not_fall_when_the_load_rises(last: float, met: bool) -> None:
    [(words, found)] = claimed("rate", deliveries_hz={40: 80_000.0, 80: 100_000.0, 160: last})
    assert found is met
    assert "160 events/s" in words


@pytest.mark.usefixtures("integration")
def test_an_unknown_axis_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling", "clinets"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "unknown axis 'clinets'; axes: clients" in done.stderr
