"""The rules of sessions: the file `FANBENCH_SESSIONS` of the generator, `FANBENCH_LOAD_SESSIONS` of the load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from core.contracts.codec import Document

NS_PER_S = 1_000_000_000


MAX_TOKEN_BYTES = 4096


def _pair(value: object) -> object:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("give two numbers, the minimum and the maximum, such as [5, 60]")
    return value


def _within(least: float, most: float) -> Callable[[tuple[float, float]], tuple[float, float]]:
    def check(pair: tuple[float, float]) -> tuple[float, float]:
        if not least <= pair[0] <= pair[1] <= most:
            raise ValueError(f"give the minimum, {least:g} or more, and then the maximum, {most:,.10g} or less")
        return pair

    return check


Lifetimes = Annotated[tuple[float, float], BeforeValidator(_pair), AfterValidator(_within(0.01, 1_000_000))]
"""The ends of a range of seconds to draw from."""
Rates = Annotated[tuple[float, float], BeforeValidator(_pair), AfterValidator(_within(0.01, 100_000))]
"""The ends of a range of events per second to draw from; at the highest rate, instants are still nanoseconds apart."""
Sizes = Annotated[tuple[int, int], BeforeValidator(_pair), AfterValidator(_within(0, MAX_TOKEN_BYTES))]
"""The ends of a range of bytes to draw from."""
Share = Annotated[float, Field(ge=0, le=1)]


class SessionRules(Document):
    """Everything that determines sessions and visits."""

    remedy: ClassVar[str] = "docs/scenarios.md lists what sessions are made of"
    version: Literal[1] = 1
    seed: int = Field(1, ge=0)
    arrivals_hz: float = Field(gt=0, le=10_000)
    """Sessions that begin per second, as a Poisson process."""
    lifetime_s: Lifetimes
    """The time from a session's start to its end marker; its logarithm is uniformly distributed."""
    rate_hz: Rates
    """A session's events per second."""
    payload_bytes: Sizes
    clients: int = Field(1, ge=1, le=16)
    """Visits to each session from its beginning."""
    second_tab: Share = 0.0
    """Share of sessions that get another visit, at another replica, in the middle."""
    late_join: Share = 0.0
    """Share of the other visits that open in the middle."""
    resume: Share = 0.0
    """Share of visits that move to another replica and resume with their last id."""
    leave_early: Share = 0.0
    """Share of visits that leave before the end marker."""
    warmup_s: float = Field(ge=0, le=1_000_000)
    duration_s: float = Field(gt=0, le=1_000_000)
    starts_ns: int = Field(0, ge=0)
    """When the schedule starts (wall clock); 0: unknown yet, or when the generator starts."""

    @property
    def end_ns(self) -> int:
        """The end of the schedule, counted from its start; every event is due before it."""
        return int((self.warmup_s + self.duration_s) * NS_PER_S)

    @property
    def warmup_ns(self) -> int:
        """Events due from this time on, counted from the schedule's start, are measured."""
        return int(self.warmup_s * NS_PER_S)

    def started(self, starts_ns: int) -> SessionRules:
        """The same rules with a starting instant."""
        return self.model_copy(update={"starts_ns": starts_ns})
