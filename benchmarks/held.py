"""What `python -m benchmarks.many` found: how many clients were held, and what they used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IdleHeld:
    """What this many clients without events used."""

    clients: int
    fewest: int
    """The fewest clients by the replicas' own counts, read twice a second."""
    hold_s: float
    connect_s: float
    replica_kb: float
    """Memory of a client: in its replica, in its load worker, and in the kernel."""
    worker_kb: float
    kernel_kb: float
    memory_mb: dict[str, float]
    cores: dict[str, float]

    @property
    def good(self) -> bool:
        """Whether all stayed connected."""
        return self.fewest >= self.clients

    def text(self) -> str:
        """One paragraph."""
        kept = "held" if self.good else "NOT HELD"
        memory = f"{self.replica_kb:.1f} KB of memory in its replica, {self.worker_kb:.1f} in its worker, {self.kernel_kb:.1f} in the kernel"
        whole = ", ".join(f"{name} {size:,.0f} MB" for name, size in self.memory_mb.items())
        return (
            f"{self.clients:,} idle clients: {kept}; by the replicas' own counts at least {self.fewest:,} for {self.hold_s:.0f} s; "
            f"connected in {self.connect_s:.0f} s; a client takes {memory}; in total {whole}; cores: {_cores(self.cores)}"
        )


@dataclass(frozen=True, slots=True)
class EventsHeld:
    """One run with events."""

    clients: int
    rate_hz: float
    problems: Sequence[str]
    expected: int
    delivered: int
    counted: Sequence[int]
    """Clients by the replicas' own counts when measuring began and when it ended."""
    written: int
    """Frames that the replicas count in the same time."""
    p50_ms: float | None
    """None if no event was measured; the same for `p99_ms`."""
    p99_ms: float | None
    busiest: dict[str, float]
    """The cores that the busiest process of each part used."""
    cores: dict[str, float]
    connecting_s: float | None = None
    """Until the replicas counted every client; None if that never was."""

    @property
    def good(self) -> bool:
        """Whether the run is valid."""
        return not self.problems

    def text(self) -> str:
        """One paragraph."""
        verdict = "valid" if self.good else f"REFUSED: {'; '.join(self.problems)}"
        counts = " and ".join(f"{count:,}" for count in self.counted) or "none"
        connected = "" if self.connecting_s is None else f"connected in {self.connecting_s:.0f} s; "
        return (
            f"{self.clients:,} clients x {self.rate_hz:g} events/s: {verdict}; {connected}delivered {self.delivered:,} of {self.expected:,}; by the "
            f"replicas' own counts {counts} clients, {self.written:,} frames; p50 {_ms(self.p50_ms)}, p99 {_ms(self.p99_ms)}; "
            f"cores: {_cores(self.cores)}; busiest process: {_cores(self.busiest)}"
        )


def _ms(found: float | None) -> str:
    return "not measured" if found is None else f"{found:,.0f} ms"


def _cores(cores: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.2f}" for name, share in cores.items())
