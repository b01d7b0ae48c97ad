"""`make scaling`: how cost grows with clients, rate, payload, topics and replicas, as figures for docs/performance.md.

Each point is a run as in `fanbench compare`. They are stored as results/*-scaling, and `--draw DIR` draws the figures
from them again. It prints the claims about them (benchmarks/scaling_claims.py); the exit code is 1 if one does not
hold.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.scaling_charts import draw
from benchmarks.scaling_claims import FLAT_AXES, claims
from brokers.contenders import find_contender
from core.errors import FanbenchError, UsageError
from core.paths import absolute_path
from core.scenario import Scenario
from core.topics import topic_pattern
from harness.results.load import load_results
from harness.results.run_record import LATENCY, Run
from harness.schedule.jobs import run_jobs, start_results
from harness.schedule.retry_queue import Job

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "images"
SCENARIO = Scenario(name="scaling", replicas=1, warmup_s=1.0, duration_s=3.0, connect_hz=2_000.0, rounds=1)
DELIVERIES_HZ = 20_000
BEHIND_MS = 1_000.0
"""Events later than this are waiting in a queue: the point is past the limit."""


def _clients(clients: int) -> dict[str, object]:
    return {"clients": clients, "rate_hz": DELIVERIES_HZ / clients}


def _rate(rate_hz: int) -> dict[str, object]:
    return {"clients": 2_000, "rate_hz": float(rate_hz)}


def _payload(payload_bytes: int) -> dict[str, object]:
    return {"clients": 300, "rate_hz": 10.0, "payload_bytes": payload_bytes}


def _topics(topics: int) -> dict[str, object]:
    return {"clients": topics, "rate_hz": 1_000.0, "topics": topic_pattern(topics)}


def _idle_topics(topics: int) -> dict[str, object]:
    # 33 deliveries a second take 10 ms of CPU, one tick of the kernel's accounting, in 0.4 s: only a long run shows
    # differences.
    return {"clients": 100, "rate_hz": topics / 3, "topics": topic_pattern(topics), "duration_s": 9.0}


def _replicas(replicas: int) -> dict[str, object]:
    return {"clients": 2_400, "rate_hz": 10.0, "replicas": replicas}


AXES = {
    "clients": (_clients, (100, 300, 1_000, 3_000, 10_000), f"clients, {DELIVERIES_HZ:,} deliveries/s together"),
    "rate": (_rate, (5, 10, 20, 40, 80, 160), "events/s to each of 2,000 clients"),
    "payload": (_payload, (200, 1_000, 4_000, 16_000, 64_000), "bytes of an event, 300 clients x 10 events/s"),
    "topics": (_topics, (1, 10, 100, 1_000, 10_000), "topics with one client each, 1,000 events/s together"),
    "idle-topics": (_idle_topics, (100, 1_000, 10_000), "topics of which 100 have a client, 1 event in 3 s on each"),
    "replicas": (_replicas, (1, 2, 4, 8), "replicas, 2,400 clients x 10 events/s together"),
}
"""A varied parameter: the scenario's fields at each value, the values, and the figure's labels."""
FLAT_ROUNDS = 3
"""Runs per point if the claim is a flat cost within 20%, for which one run of 3 s is not exact enough."""


@dataclass(frozen=True, slots=True)
class ScalingPoint:
    """One run as a figure shows it; CPU is None beyond the limit, where the window ends before the deliveries do."""

    axis: str
    value: int
    valid: bool
    deliveries_hz: float
    server_us: float | None
    load_us: float | None
    server_core: float
    p50_ms: float
    p99_ms: float
    lost: int
    problem: str


def axis_of(run: Run) -> tuple[str, int]:
    """Return the axis and value of a run of scaling, found by its scenario.

    Raises: UsageError: it is not a run of `make scaling`.
    """
    for axis, (fields, values, _) in AXES.items():
        for value in values:
            if SCENARIO.with_fields(**fields(value)) == run.scenario:
                return axis, value
    raise UsageError("this is not a result of `make scaling`, or comes from an earlier version; measure again")


def point_of(run: Run) -> ScalingPoint:
    """A run's figures."""
    axis, value = axis_of(run)
    latency = run.histograms.get(LATENCY)
    latest_ms = latency.max_ms() if latency else 0.0
    behind = latest_ms > BEHIND_MS
    per_us = 1e6 / run.delivered if run.delivered and not behind else None
    return ScalingPoint(
        axis=axis,
        value=value,
        valid=run.valid,
        # Beyond the limit, the last event arrives this long after it was due.
        deliveries_hz=round(run.delivered / (run.scenario.duration_s + latest_ms / 1000 * behind), 1),
        server_us=round(run.usage["server"].cpu_s * per_us, 2) if per_us else None,
        load_us=round(run.usage["load"].cpu_s * per_us, 2) if per_us else None,
        server_core=run.usage["server"].busiest_core if run.usage else 0.0,
        p50_ms=latency.percentile_ms(50) if latency else 0.0,
        p99_ms=latency.percentile_ms(99) if latency else 0.0,
        lost=run.lost,
        problem=run.problems[0] if run.problems else "",
    )


def scaling_jobs(axes: Sequence[str], contender: str, rounds: int) -> list[Job]:
    """Return every point of the axes, round by round; those of `FLAT_AXES` get more rounds."""
    chosen = find_contender(contender)
    chosen.require_runnable()
    return [
        Job(chosen, SCENARIO.with_fields(**AXES[axis][0](value)), number, f"{axis} {value} round {number}")
        for number in range(1, FLAT_ROUNDS * rounds + 1)
        for axis in axes
        if number <= rounds or axis in FLAT_AXES
        for value in AXES[axis][1]
    ]


def _line(run: Run) -> str:
    point = point_of(run)
    cost = f"server {point.server_us} us, load {point.load_us} us a delivery" if point.server_us else "past its limit"
    words = f" [yellow]refused[/]: {point.problem}" if point.problem else ""
    return f"  {point.axis} {point.value:,}: {point.deliveries_hz:,.0f} deliveries/s, {cost}, p99 {point.p99_ms:.1f} ms{words}"


def write_points(points: Sequence[ScalingPoint], path: Path) -> None:
    """The figures' numbers, one line for each run."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(ScalingPoint.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(point) for point in points)


def runs_to_draw(runs: Sequence[Run]) -> list[Run]:
    """Return the runs that delivered, without disturbed ones if another run at the same point was undisturbed.

    If every attempt was disturbed, the load is the cause: the point is past its limit, and is shown as such.
    """
    delivered = [run for run in runs if run.delivered]
    spared = {axis_of(run) for run in delivered if not run.disturbed}
    return [run for run in delivered if not run.disturbed or axis_of(run) not in spared]


def _draw(folder: Path, out: Path) -> list[ScalingPoint]:
    points = [point_of(run) for run in runs_to_draw(load_results(folder).runs)]
    out.mkdir(parents=True, exist_ok=True)
    for axis, (_, _, label) in AXES.items():
        mine = [point for point in points if point.axis == axis]
        if mine:
            write_points(mine, out / f"scaling-{axis}.csv")
            draw(mine, label, out / f"scaling-{axis}.svg")
            print(out / f"scaling-{axis}.svg")
    return points


def _judge(points: Sequence[ScalingPoint]) -> bool:
    found = claims(points)
    for claim in found:
        print(f"{'met' if claim.met else 'NOT MET'}: {claim.words}")
    return all(claim.met for claim in found)


def main() -> int:
    """Measure, draw and judge; exit code 1 if a claim does not hold, 2 for bad usage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("axes", nargs="*", help=f"of {', '.join(AXES)}; default: all")
    parser.add_argument("--contender", default="valkey")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=absolute_path, default=OUT, help="where the figures go")
    parser.add_argument(
        "--results", type=absolute_path, default=ROOT / "results", help="where the result directory goes"
    )
    parser.add_argument("--draw", type=absolute_path, help="draw this result directory, and measure nothing")
    given = parser.parse_args()
    unknown = [axis for axis in given.axes if axis not in AXES]
    if unknown:
        parser.error(f"unknown axis '{unknown[0]}'; axes: {', '.join(AXES)}")
    try:
        folder = given.draw
        if folder is None:
            jobs = scaling_jobs(given.axes or list(AXES), given.contender, given.rounds)
            results = start_results(given.results, "scaling", SCENARIO, [jobs[0].contender])
            folder = run_jobs(jobs, results, Console(), _line).folder
        return 0 if _judge(_draw(folder, given.out)) else 1
    except FanbenchError as error:
        print(f"scaling: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


if __name__ == "__main__":
    sys.exit(main())
