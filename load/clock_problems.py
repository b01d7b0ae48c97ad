"""The problems of the clocks in a measurement, and what the result reports about them."""

from __future__ import annotations

from collections.abc import Mapping

from core.clock_offset import OffsetInterval
from core.contracts.clock import ClockComparison, ClockOffset
from core.contracts.measures import Span
from core.histogram import Histogram
from load.clock_tally import ClockTally

MAX_SHARE = 0.10
"""The largest bound of a hop, as a share of its median."""


def comparison(tally: ClockTally) -> ClockComparison | None:
    """Return the clocks for the result; None if no replica has reported its clock."""
    if not tally.reference:
        return None
    return ClockComparison(
        reference=tally.reference,
        offsets={name: _offset(one) for name, one in sorted(tally.offsets.items())},
        bounds_ms={span: round(bound_ns / 1e6, 3) for span, bound_ns in tally.bounds_ns.items()},
    )


def _offset(interval: OffsetInterval) -> ClockOffset:
    return ClockOffset(ahead_ms=round(interval.ns / 1e6, 3), bound_ms=round(interval.bound_ns / 1e6, 3))


def clock_problems(tally: ClockTally) -> list[str]:
    """Why the instants cannot be trusted."""
    found = [
        f"the clock of {whose} was set{f' by {by_ns / 1e6:+.1f} ms' if by_ns else ', or it moved to another host,'} during the measurement; stop "
        "what does so, and run again"
        for whose, by_ns in sorted(tally.were_set.items())
    ]
    if tally.uncompared:
        names = ", ".join(sorted(tally.uncompared))
        found.append(
            f"{tally.uncompared.total():,} deliveries of {names} came before it answered GET /clock, so their hops are not known; "
            "give --warmup, and check that each address of the load passes on GET /clock, and that it leads to each replica in turn"
        )
    if tally.unknown_generator:
        found.append(
            f"{tally.unknown_generator:,} deliveries come from a generator on another host that did not compare its clock, so their "
            "latency and broker hop are not known; give the generator FANBENCH_REPLICAS=URL,URL and events of 200 bytes or more"
        )
    if tally.unknown_orders:
        found.append(
            "a worker could not compare its clock with that of its master, which says when sessions and faults begin; let the "
            "master's host reach GET /clock of the replicas"
        )
    return found + _negatives(tally)


def _negatives(tally: ClockTally) -> list[str]:
    unknown: set[Span] = {"broker", "latency"} if tally.unknown_generator else set()
    unknown |= {"broker", "fanout"} if tally.uncompared else set()
    beyond = {
        span: lowest_ns
        for span, lowest_ns in tally.lowest_ns.items()
        if span not in unknown and -lowest_ns > tally.bounds_ns.get(span, 0)
    }
    return [
        f"{span} took {lowest_ns / 1e6:.3f} ms at least, which is below zero by more than the clocks' bound of "
        f"{tally.bounds_ns.get(span, 0) / 1e6:.3f} ms: a clock is wrong; synchronise the hosts' clocks, or measure on one host"
        for span, lowest_ns in sorted(beyond.items())
    ]


def wide_bounds(tally: ClockTally, spans: Mapping[Span, Histogram]) -> str | None:
    """Return the hops whose bound is too wide for their figures; None if all are usable."""
    wide = []
    for span, bound_ns in sorted(tally.bounds_ns.items()):
        p50_ms, bound_ms = spans[span].percentile_ms(50), bound_ns / 1e6
        if spans[span].count and bound_ms > MAX_SHARE * p50_ms:
            wide.append(f"{span} p50 {p50_ms:.3f} ms within {bound_ms:.3f} ms")
    if not wide:
        return None
    return (
        f"the clocks are not known well enough (limit {MAX_SHARE:.0%} of the p50): {', '.join(wide)}; place the hosts "
        "in one network, or measure longer hops"
    )
