"""What `make scaling` makes of runs."""

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.model import Run, Usage
from bench.scaling import AXES, SCENARIO, axis_of, point_of, scaling_jobs, write_points
from bench.scaling_charts import draw
from core.errors import UsageError
from core.histogram import Histogram

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


def test_every_point_of_every_axis_is_found_again_by_its_scenario() -> None:
    for axis, (fields, values, _) in AXES.items():
        for value in values:
            run = Run("valkey", 1, "at-most-once", SCENARIO.with_fields(**fields(value)))
            assert axis_of(run) == (axis, value)


def test_a_run_of_something_else_is_refused() -> None:
    with pytest.raises(UsageError, match="no result of `make scaling`"):
        axis_of(Run("valkey", 1, "at-most-once", SCENARIO.with_fields(clients=7)))


def test_clients_share_the_same_deliveries() -> None:
    fields, values, _ = AXES["clients"]
    assert {SCENARIO.with_fields(**fields(n)).rate_hz * n for n in values} == {20_000}


def test_cost_is_for_each_delivery() -> None:
    point = point_of(made_up_run("clients", 100, [1, 2, 3, 4, 5]))
    assert (point.server_us, point.load_us) == (1000.0, 2000.0)
    assert point.deliveries_hz == pytest.approx(100 / SCENARIO.duration_s, abs=0.1)


def test_past_the_limit_throughput_counts_to_the_last_arrival_and_no_cost_is_shown() -> None:
    # Within the measured seconds the replica did not get to all of them, so its CPU is not that of all deliveries.
    point = point_of(made_up_run("rate", 160, [1, 3_000]))
    assert point.server_us is None
    assert point.deliveries_hz == pytest.approx(40 / (SCENARIO.duration_s + 3), rel=0.01)


def test_jobs_go_round_by_round() -> None:
    jobs = scaling_jobs(["replicas"], "memory", 2)
    assert [(job.round, job.scenario.replicas) for job in jobs] == [(r, n) for r in (1, 2) for n in AXES["replicas"][1]]


def test_points_and_figure_show_every_run(tmp_path: Path) -> None:
    points = [point_of(made_up_run("clients", n, [1, 2])) for n in (100, 100, 1_000)]
    write_points(points, tmp_path / "points.csv")
    rows = list(csv.DictReader((tmp_path / "points.csv").open()))
    assert [row["value"] for row in rows] == ["100", "100", "1000"]
    draw([*points[:2], replace(points[2], valid=False)], "clients", tmp_path / "figure.svg")
    svg = (tmp_path / "figure.svg").read_text()
    for words in ("deliveries per second", "CPU microseconds per delivery", "latency, ms", "Locust", "p99", "1,000"):
        assert words in svg, words


def test_an_unknown_axis_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.scaling", "clinets"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "unknown axis 'clinets'; axes: clients" in done.stderr
