"""The contender that an answer recommends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.analysis.stored_results import Result
from harness.choose.failover_queries import fitting_form
from harness.choose.fault_queries import asks_of_faults, faults_not_measured, may_lose_nothing
from harness.choose.needs import Needs


@dataclass(frozen=True, slots=True)
class Judged:
    """A contender and the reasons for its place."""

    contender: str
    delivery: str
    reasons: tuple[str, ...]


def preferred(left: Mapping[str, Sequence[Sequence[Judged]]], needs: Needs, results: Sequence[Result]) -> Judged | None:
    """Return the first contender with the weakest sufficient promise, because a stronger one costs more.

    Contenders that went through faults come first if faults decide. If nothing may be lost, the stronger promise
    comes first. `left` has the remaining ones by promise, in groups, the best first.
    """
    weakest_first = not may_lose_nothing(needs)
    found = [judged for delivery in sorted(left, reverse=weakest_first) for group in left[delivery] for judged in group]
    shown = [judged for judged in found if asks_of_faults(needs) and proven(judged.contender, needs, results)]
    return next(iter([*shown, *found]), None)


def proven(name: str, needs: Needs, results: Sequence[Result]) -> bool:
    """Whether the faults that decide were measured with a contender, or with one of its clusters."""
    if needs.nodes > 1:
        return bool(fitting_form(name, needs, results))
    return not faults_not_measured(name, needs, results)
