"""The claims about how cost grows, checked against the points of `make scaling`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol, TypeVar

FLAT = 1.20
"""The largest allowed ratio of the cost per delivery at the most expensive value to that at the cheapest value.

If the cost may fall along an axis, the lowest value replaces the cheapest one.
"""
KEPT = 0.90
"""The minimum throughput at the heaviest load, as a share of the peak."""


class CostPoint(Protocol):
    """The values of a run that the claims use."""

    @property
    def axis(self) -> str: ...
    @property
    def value(self) -> int: ...
    @property
    def valid(self) -> bool: ...
    @property
    def deliveries_hz(self) -> float: ...
    @property
    def server_us(self) -> float | None: ...
    @property
    def load_us(self) -> float | None: ...


P = TypeVar("P", bound=CostPoint)


FLAT_AXES: dict[str, tuple[str, Callable[[CostPoint], float | None], bool]] = {
    "clients": ("the replica's CPU per delivery", lambda point: point.server_us, False),
    "idle-topics": ("the clients' CPU per delivery", lambda point: point.load_us, True),
}
"""The programs whose cost per delivery must stay the same along the axis or, with True, must not grow.

It falls with idle topics: a core that the rest of the machine keeps busy does the clients' few reads faster.
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim, and whether the points confirm it."""

    words: str
    met: bool


def medians(points: Sequence[P], read: Callable[[P], float | None]) -> dict[int, float]:
    """The median figure of the runs at each value; values without a figure are left out."""
    found: dict[int, list[float]] = {}
    for point in points:
        figure = read(point)
        if figure is not None:
            found.setdefault(point.value, []).append(figure)
    return {value: median(found[value]) for value in sorted(found)}


def claims(points: Sequence[CostPoint]) -> list[Claim]:
    """Return each claim whose axis was measured."""
    found = []
    for axis, (what, read, may_fall) in FLAT_AXES.items():
        mine = [point for point in points if point.axis == axis]
        if mine:
            found.append(_flat(axis, what, mine, read, may_fall))
    rates = [point for point in points if point.axis == "rate"]
    if rates:
        found.append(_kept(rates))
    return found


def _flat(
    axis: str, what: str, points: Sequence[CostPoint], read: Callable[[CostPoint], float | None], may_fall: bool
) -> Claim:
    values = sorted({point.value for point in points})
    unseen = [value for value in values if not any(point.valid for point in points if point.value == value)]
    cost = medians([point for point in points if point.valid], read)
    if unseen or len(cost) < 2:
        missing = ", ".join(f"{value:,}" for value in unseen or values)
        return Claim(f"{axis}: no valid run at {missing}, so nothing can be said; repeat on a quieter machine", False)
    base, name = (cost[values[0]], f"that at {values[0]:,}") if may_fall else (min(cost.values()), "cheapest")
    ratio = max(cost.values()) / base
    span = f"from {values[0]:,} to {values[-1]:,} {axis}"
    return Claim(f"{axis}: {what} {span}, most expensive over {name}: {ratio:.2f} (at most {FLAT:.2f})", ratio <= FLAT)


def _kept(points: Sequence[CostPoint]) -> Claim:
    reached = medians(points, lambda point: point.deliveries_hz)
    heaviest = max(reached)
    share = reached[heaviest] / max(reached.values())
    return Claim(
        f"rate: at {heaviest:,} events/s, {reached[heaviest]:,.0f} deliveries/s are {share:.0%} of the peak "
        f"(at least {KEPT:.0%})",
        share >= KEPT,
    )
