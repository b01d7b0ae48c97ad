"""The rules of sessions: the file `FANBENCH_SESSIONS` of the generator, `FANBENCH_LOAD_SESSIONS` of the load."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from core.contracts.codec import Document

NS_PER_S = 1_000_000_000


def _ascending(pair: tuple[float, float]) -> tuple[float, float]:
    if not 0 < pair[0] <= pair[1]:
        raise ValueError(f"[{pair[0]:g}, {pair[1]:g}]: give the minimum, over 0, and the maximum")
    return pair


def _sizes(pair: tuple[int, int]) -> tuple[int, int]:
    if not 0 <= pair[0] <= pair[1] <= MAX_TOKEN_BYTES:
        raise ValueError(f"[{pair[0]}, {pair[1]}]: give the minimum and the maximum, {MAX_TOKEN_BYTES} at most")
    return pair


MAX_TOKEN_BYTES = 4096
Range = Annotated[tuple[float, float], AfterValidator(_ascending)]
"""The ends of a range to draw from."""
ByteRange = Annotated[tuple[int, int], AfterValidator(_sizes)]
Share = Annotated[float, Field(ge=0, le=1)]


class SessionRules(Document):
    """Everything that determines sessions and visits."""

    remedy: ClassVar[str] = "docs/scenarios.md lists what sessions are made of"
    version: Literal[1] = 1
    seed: int = Field(1, ge=0)
    arrivals_hz: float = Field(gt=0, le=10_000)
    """Sessions that begin per second, as a Poisson process."""
    lifetime_s: Range
    """The time from a session's start to its end marker; its logarithm is uniformly distributed."""
    rate_hz: Range
    """A session's events per second."""
    payload_bytes: ByteRange
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
