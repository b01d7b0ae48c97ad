"""The rules of a valid run that can be checked from its stored figures, with the limits."""

from __future__ import annotations

from harness.results.run_record import Run

MIN_ACHIEVED = 0.99
"""The smallest share of the offered rate."""
MAX_CORE = 0.90
JUDGED_PARTS = ("server", "load", "generator")
"""Parts that must stay below MAX_CORE. The broker may exceed it, because that is its own limit."""


def broken_rules(run: Run) -> list[str]:
    """Return the reasons to refuse a run, regardless of its stored problems; empty if the figures allow a valid run."""
    found = [f"{hop} has negative latencies" for hop, histogram in run.histograms.items() if histogram.negative]
    if run.delivered > run.expected:
        found.append("more was delivered than expected")
    if run.scenario.faults:  # in such runs, lateness and full cores are findings
        return found
    offered = run.figures.get("offered_hz", 0.0)
    if run.achieved_hz < MIN_ACHIEVED * offered - _ROUNDED:
        found.append(f"achieved_hz is below {MIN_ACHIEVED:.0%} of offered_hz")
    full = [part for part in JUDGED_PARTS if part in run.usage and run.usage[part].busiest_core > MAX_CORE + _ROUNDED]
    return found + [f"{part}_core is above {MAX_CORE}" for part in full]


_ROUNDED = 0.001
"""Stored figures have three decimals."""
