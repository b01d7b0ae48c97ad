"""The order of contenders in every table and chart of a report: by promise, best first, the floor last."""

from __future__ import annotations

from harness.analysis.standings import Standing, families, standings
from harness.results.run_record import Comparison


def in_order(comparison: Comparison) -> list[Standing]:
    """Sort at-most-once, then at-least-once, each by p99; then the floor, then those without a valid run."""
    ranked = [standing for family in families(comparison) for standing in family.standings]
    names = {standing.contender for standing in ranked}
    rest = [standing for standing in standings(comparison) if standing.contender not in names]
    return sorted([*ranked, *rest], key=lambda standing: (not standing.runs, standing.floor))
