"""capacity.json: what a capacity search found."""

from __future__ import annotations

from typing import ClassVar, Literal

from core.contracts.codec import Document

Axis = Literal["clients", "rate", "replicas", "topics"]


class CapacityPoint(Document):
    """One run of a capacity search."""

    load: int
    held: bool
    p99_ms: float
    lost: int
    why: str
    """The cause of the break: the objective, or the check that refused the run; empty if it held."""
    judged: bool = True
    """False if the machine disturbed the run, so that it says nothing about the load."""
    by_harness: bool = False
    """A check refused the run: the limit is the harness or the machine, not the contender."""


class Capacity(Document):
    """What a search found; `held` is the largest load that passed, `broke` the next one, which failed."""

    remedy: ClassVar[str] = "measure again"
    version: Literal[1] = 1
    contender: str
    vary: Axis
    slo: str
    held: int | None
    broke: int | None
    confirmed: bool
    note: str = ""
    p99_ms: tuple[float, float, float] | None = None
    """p99 over the runs at `held`, with its interval: estimate, low, high."""
    points: tuple[CapacityPoint, ...]
