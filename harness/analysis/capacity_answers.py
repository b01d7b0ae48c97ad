"""The answer of a capacity search, from its runs: the p99 at the load that held, and the answer as one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from core.contracts.capacity import Capacity, CapacityPoint
from harness.analysis.judgement_words import ms
from harness.analysis.standings import percentile_band
from harness.results.run_record import LATENCY, Run


def p99_at_held(
    held: int | None, points: Sequence[CapacityPoint], runs: Sequence[Run]
) -> tuple[float, float, float] | None:
    """Return the estimate, low and high in milliseconds over the runs at the load that held, one run per point.

    None without any.
    """
    at_held = [
        run.histograms[LATENCY]
        for point, run in zip(points, runs, strict=True)
        if point.load == held and point.judged and LATENCY in run.histograms
    ]
    band = percentile_band(at_held, [99])
    return (band[0].estimate, band[0].low, band[0].high) if band else None


def in_words(found: Capacity) -> str:
    """Return the answer as a sentence: the load that holds with its interval, where it breaks, and what broke first."""
    if found.held is None:
        judged = [point for point in found.points if point.judged]
        if judged and all(point.by_harness for point in judged):
            return (
                f"{found.contender}: the harness refused every run, down to {min(point.load for point in judged):,} {found.vary}, which "
                f"says nothing about {found.contender}; last: {judged[-1].why}"
            )
        why = next((f"; {point.why}" for point in reversed(found.points) if point.why), "")
        return f"{found.contender}: found no load that holds {found.slo}: {found.note or 'nothing was measured'}{why}"
    said = f"{_times(found, found.held, 'held')}{_interval(found)}"
    if not found.confirmed:
        words = f"{found.contender}: at least {found.held:,} {found.vary} held {found.slo} ({said}), not confirmed: {found.note}"
        return words + (f"; {_break(found)}" if found.broke is not None else "")
    words = f"{found.contender} holds {found.slo} up to {found.held:,} {found.vary} ({said})"
    if found.broke is None:
        return f"{words}; {found.note}"
    return f"{words}; {_break(found)}" + (f"; {found.note}" if found.note else "")


def harness_ended(found: Capacity) -> bool:
    """Whether only checks of the harness refused the next load: that is not the contender's limit."""
    judged = [point for point in found.points if point.load == found.broke and not point.held and point.judged]
    return bool(judged) and all(point.by_harness for point in judged)


def _times(found: Capacity, load: int, outcome: str) -> str:
    """`held in 3 of 3 runs`, counting the judged ones."""
    judged = [point.held for point in found.points if point.load == load and point.judged]
    return f"{outcome} in {judged.count(outcome == 'held')} of {len(judged)} runs"


def _interval(found: Capacity) -> str:
    if found.p99_ms is None:
        return ""
    estimate, low, high = map(ms, found.p99_ms)
    return f", p99 {estimate} ms [{low}, {high}]"


def _break(found: Capacity) -> str:
    """Say where it breaks and what broke first, or that no run could judge the load.

    If no run broke the objective but the harness's checks refused runs, the harness is the limit.
    """
    assert found.broke is not None
    at_break = [point for point in found.points if point.load == found.broke and not point.held]
    judged = [point for point in at_break if point.judged]
    if not judged:
        return f"{found.broke:,}: {at_break[0].why}" if at_break else f"{found.broke:,} was not measured"
    broken = next((point for point in judged if not point.by_harness), None)
    if broken is None:
        return (
            f"the harness reached its limit at {found.broke:,}, which says nothing about {found.contender}: "
            f"{_times(found, found.broke, 'refused')}, first: {judged[0].why}"
        )
    return f"{found.broke:,} {_times(found, found.broke, 'broke')}, first: {broken.why}"
