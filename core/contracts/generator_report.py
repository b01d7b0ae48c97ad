"""What a generator reports when it ends: the file `FANBENCH_REPORT`, of `python -m generator` and of a replica's companion."""

from __future__ import annotations

from typing import Literal

from core.contracts.clock import ClockOffset
from core.contracts.codec import Document
from core.contracts.measures import Percentiles, PhaseCounts


class GeneratorReport(Document):
    """One start of a generator. Instants are wall-clock nanoseconds."""

    version: Literal[1] = 1
    stream: str
    published: dict[str, PhaseCounts]
    """The number of events handed to the adapter, including failed ones, by topic."""
    failed: int
    """Events whose publish raised; with at-least-once, those that it gave up."""
    failures: dict[str, int]
    """Failed events by reason."""
    retried: int
    """Repeated publishes, with at-least-once."""
    longest_outage_ms: float
    """The longest time from the start of a failed or waiting publish to the next success."""
    scheduled: int
    """Events that the schedule has in phase `measure`."""
    offered_hz: float
    achieved_hz: float
    measure_started_ns: int
    measure_ended_ns: int
    lateness_ms: Percentiles
    """Sent - due, in phase `measure`."""
    lateness_histogram: str
    """HDR V2, base64, microseconds."""
    lateness_negative: int
    """The number of negative latenesses, which the histogram leaves out."""
    clock_step_ns: int
    """How far the wall clock moved against the monotonic one."""
    clocks: dict[str, ClockOffset]
    """How far each replica's clock is ahead of the generator's, by its name; empty if they were not compared."""
    cpu_s: float

    def measured(self) -> dict[str, int]:
        """Events of phase `measure` by topic."""
        return {topic: counts.measure for topic, counts in self.published.items()}
