"""Figures that several documents contain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from core.contracts.codec import Document

Hop = Literal["schedule", "broker", "fanout"]
Span = Literal["latency", "schedule", "broker", "fanout"]
"""Everything with a histogram: the latency, and each hop."""


@dataclass(frozen=True, slots=True)
class PhaseCounts:
    """Events by phase. A replica reports one per topic, so this is not a `Document`, which would take twice as long."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    warmup: int
    measure: int


class Percentiles(Document):
    """Percentiles of a distribution, in milliseconds; all 0 if it is empty."""

    p50: float
    p90: float
    p99: float
    p999: float
    max: float
