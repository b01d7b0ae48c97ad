"""Figures that several documents hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from core.contracts.codec import Document

Hop = Literal["schedule", "broker", "fanout"]
Span = Literal["latency", "schedule", "broker", "fanout"]
"""What has a histogram: the latency, and each hop."""


@dataclass(frozen=True, slots=True)
class PhaseCounts:
    """Events by phase. A replica tells as many as it has topics, so this is no `Document`: those take twice as long."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    warmup: int
    measure: int


class Percentiles(Document):
    """Of a distribution in milliseconds; all 0 when it is empty."""

    p50: float
    p90: float
    p99: float
    p999: float
    max: float
