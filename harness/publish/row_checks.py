"""Derives each figure of a run again from its histograms, its counts or the scenario, and compares it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from brokers.contenders import find_contender
from core.contracts.manifest import Manifest, ManifestRun
from core.contracts.run_record import (
    RunHistograms,
    SummaryRow,
    TimelineRow,
    read_histograms,
    read_summary,
    read_timeline,
)
from core.errors import UsageError
from core.topics import expand_topics
from harness.analysis.fault_evidence import base_name
from harness.publish.contradictions import Contradiction, unequal
from harness.results.read_file import read_file
from harness.results.run_record import Comparison, Run
from harness.results.summary import row_of
from harness.results.validity import broken_rules

_STEADY_HZ, _PROMPT_MS = 5.0, 500.0
_ROUNDED_MS = 0.0006
"""The largest difference between two figures in milliseconds that were both rounded to three decimals."""
_BUCKET = 1.002
"""A histogram keeps three significant digits of a value."""


def row_differences(folder: Path, manifest: Manifest, comparison: Comparison) -> Iterator[Contradiction]:
    """Yield the differences in summary.csv, timeline.csv and histograms.json of a result directory."""
    name = folder.name
    rows = read_summary(read_file(folder, "summary.csv"), f"{name}/summary.csv")
    seconds = read_timeline(read_file(folder, "timeline.csv"), f"{name}/timeline.csv")
    encoded = read_histograms(read_file(folder, "histograms.json"), f"{name}/histograms.json").runs
    numbers = [entry.run for entry in manifest.order]
    yield from unequal(f"{name}/manifest.json: order: run", tuple(numbers), tuple(range(1, len(numbers) + 1)))
    for file, stored in (
        ("summary.csv", [row.further.run for row in rows]),
        ("histograms.json", [e.run for e in encoded]),
    ):
        yield from unequal(f"{name}/{file}: run", tuple(stored), tuple(numbers))
    strange = sorted({second.run for second in seconds} - set(numbers))
    yield from unequal(f"{name}/timeline.csv: run", tuple(strange), ())
    by_run = {row.further.run: row for row in rows}
    histograms = {one.run: one for one in encoded}
    for run, entry in zip(comparison.runs, manifest.order, strict=True):
        number = entry.run
        own = [second for second in seconds if second.run == number]
        yield from _names(name, entry, by_run[number], own, histograms[number])
        yield from _figures(name, run, by_run[number], number)
        yield from _counts(f"{name}/summary.csv: run {number} of {entry.contender}", run)
        yield from _timeline(f"{name}/timeline.csv: run {number} of {entry.contender}", run, own)


def _names(
    name: str, entry: ManifestRun, row: SummaryRow, seconds: Sequence[TimelineRow], encoded: RunHistograms
) -> Iterator[Contradiction]:
    """Compare contender and round, which are in all four files."""
    said = (entry.contender, entry.round)
    of = f"run {entry.run}"
    yield from unequal(f"{name}/summary.csv: {of}: contender, round", (row.main.contender, row.main.round), said)
    yield from unequal(f"{name}/histograms.json: {of}: contender, round", (encoded.contender, encoded.round), said)
    for second in seconds:
        where = f"{name}/timeline.csv: {of}, second {second.t_s}: contender, round"
        yield from unequal(where, (second.contender, second.round), said)


def _figures(name: str, run: Run, row: SummaryRow, number: int) -> Iterator[Contradiction]:
    """Derive latencies from the histograms, the workload from the scenario and `valid` from the problems, as for storing."""
    derived = row_of(run, number)
    where = f"{name}/summary.csv: run {number} of {run.contender}: "
    yield from unequal(where, row.cells(), derived.cells())


def _counts(where: str, run: Run) -> Iterator[Contradiction]:
    yield from unequal(f"{where}: lost", run.lost, run.expected - run.delivered)
    if run.lost_by_cause:
        charged = max(
            0, run.lost
        )  # a refused run may have more deliveries than expected, because somebody else published
        yield from unequal(f"{where}: lost, the sum of its causes", sum(run.lost_by_cause.values()), charged)
    if run.valid:
        for hop, histogram in run.histograms.items():
            count = histogram.count + histogram.negative
            yield from unequal(f"{where}: delivered, compared with the histogram '{hop}'", run.delivered, count)
        for rule in broken_rules(run):
            yield Contradiction(f"{where}: valid", "true", f"false: {rule}")
    yield from _expected(where, run)
    known = _delivery(run.contender)
    yield from unequal(f"{where}: delivery", run.delivery, known or run.delivery)


def _expected(where: str, run: Run) -> Iterator[Contradiction]:
    """Check `expected`: published x clients with one topic and one generator, otherwise no more than that."""
    scenario = run.scenario
    most = run.published * scenario.clients
    if scenario.sessions is not None or not run.valid:
        return
    if len(expand_topics(scenario.topics)) == 1 and base_name(run.contender) != "memory":
        yield from unequal(f"{where}: expected, published x clients", run.expected, most)
    elif run.expected > most:
        yield Contradiction(f"{where}: expected", f"{run.expected}", f"{most} at most: published x clients")


def _delivery(contender: str) -> str:
    """Return the promise of a contender; empty if this fanbench does not know it."""
    try:
        return find_contender(base_name(contender)).delivery if "://" not in contender else ""
    except UsageError:
        return ""


def _has_every_second(run: Run) -> bool:
    """Whether the timeline has no second without a delivery: several events every second, no fault, and no long wait."""
    steady = run.scenario.schedule == "constant" and run.scenario.rate_hz >= _STEADY_HZ
    latency = run.histograms.get("latency")
    prompt = latency is not None and latency.max_ms() < _PROMPT_MS
    return run.valid and steady and prompt and not run.scenario.faults and run.scenario.sessions is None


def _timeline(where: str, run: Run, seconds: Sequence[TimelineRow]) -> Iterator[Contradiction]:
    """Check that seconds are in order, deliveries add up, and latencies fit the run's histogram."""
    if not seconds:
        return
    told = tuple(s.t_s for s in seconds)
    expected = tuple(range(len(seconds))) if _has_every_second(run) else tuple(sorted(set(told)))
    yield from unequal(f"{where}: t_s", told, expected)
    yield from unequal(f"{where}: deliveries, their sum", sum(s.deliveries for s in seconds), run.delivered)
    latency = run.histograms.get("latency")
    longest = latency.max_ms() if latency else 0.0
    for second in seconds:
        at = f"{where}, second {second.t_s}"
        if second.p50_ms > second.p99_ms + _ROUNDED_MS:
            yield Contradiction(f"{at}: p50_ms", f"{second.p50_ms}", f"{second.p99_ms} at most: its p99_ms")
        if second.p99_ms > second.max_ms * _BUCKET + _ROUNDED_MS:
            yield Contradiction(f"{at}: p99_ms", f"{second.p99_ms}", f"{second.max_ms} at most: its max_ms")
    most = max(second.max_ms for second in seconds)
    if run.valid and not longest / _BUCKET - _ROUNDED_MS <= most <= longest * _BUCKET + _ROUNDED_MS:
        yield Contradiction(f"{where}: max_ms, the largest", f"{most}", f"{longest:.3f}, the run's own")
