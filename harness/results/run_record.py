"""A run and its results, which the runner fills and which store, statistics and report read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.contracts.load_result import MeasuredSecond
from core.contracts.manifest import Stopping
from core.histogram import Histogram
from core.scenario import Scenario

PARTS = ("broker", "server", "generator", "load")
OTHERS = "others"
"""In `not_watched`: processes that do not belong to the run."""
HOPS = ("schedule", "broker", "fanout")
LATENCY = "latency"
TRANSPORTS = {"sse": "Server-Sent Events", "ws": "WebSocket"}
"""Named after their locustfile in load/."""
CAUSE_WORDS = {
    "broker": "not delivered by the broker",
    "gap": "gap reported by the adapter",
    "slow_client": "dropped with a slow client",
    "connection_down": "connection down",
    "unexplained": "missing without a gap",
    "under_way": "in flight at the deadline",
}
"""The cause of a missing delivery, as text."""
CAUSES = tuple(CAUSE_WORDS)

Part = Literal["broker", "server", "generator", "load"]


@dataclass(frozen=True, slots=True)
class Usage:
    """One part's usage (all its process trees) in the measured phase."""

    cpu_s: float
    rss_mb: float
    """Peak resident memory."""
    busiest_core: float
    """CPU seconds per second of its busiest single process: 1.0 is a whole core."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one contender with one scenario. Always, delivered + lost = expected."""

    contender: str
    round: int
    delivery: str
    scenario: Scenario
    transport: str = "sse"
    published: int = 0
    expected: int = 0
    delivered: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    gaps: int = 0
    achieved_hz: float = 0.0
    lost_by_cause: dict[str, int] = field(default_factory=dict)
    """Losses by each knowable one of CAUSES; they sum to `lost`, or to 0 if more arrived than expected."""
    histograms: dict[str, Histogram] = field(default_factory=dict)
    """Histograms by hop (`schedule`, `broker`, `fanout`) and of `latency`; each has `delivered` values.

    An endpoint reports only where the first hop ends.
    """
    usage: dict[str, Usage] = field(default_factory=dict)
    """Usage by part; `memory` has no broker, and an endpoint counts as the server."""
    not_watched: tuple[str, ...] = ()
    """Parts that ran unwatched, and OTHERS: their CPU and memory are unknown, not 0."""
    timeline: list[MeasuredSecond] = field(default_factory=list)
    """Figures by the second in which events were due."""
    figures: dict[str, float] = field(default_factory=dict)
    """Further figures by their column in summary.csv, with units in the names: `connect_p50_ms`, …"""
    problems: tuple[str, ...] = ()
    """Why the run is refused, with the remedy; empty if it is valid."""
    disturbed: bool = False
    """Refused because of the machine, a timeout or a dead process, so a repeat may be valid."""
    permanent: bool = False
    """It ended early for a permanent reason, such as a missing library or a refused setting."""
    notes: tuple[str, ...] = ()
    """Remarks on the figures, such as why the product cannot do better; they do not refuse the run."""
    endpoint: bool = False
    """Whether clients listened to a service without replicas, so that their number and reported gaps do not exist."""

    @property
    def valid(self) -> bool:
        """Whether the run may be ranked."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Comparison:
    """All runs of one `fanbench compare` in their order, and the machine."""

    name: str
    scenario: Scenario
    runs: list[Run]
    started_utc: str
    command: str
    host: dict[str, str]
    versions: dict[str, str]
    """The versions that programs report."""
    settings: dict[str, dict[str, int]] = field(default_factory=dict)
    """The settings that decide how long a failover takes, by cluster."""
    stopping: Stopping = field(default_factory=Stopping)
    """When it was allowed to stop, and the margin within which figures are equivalent."""
    lanes: int = 1
    """How many runs ran at the same time."""
    complete: bool = True
    """False if it was interrupted; finished runs are kept."""
    verdict: tuple[str, ...] = ()
    """What the numbers allow us to conclude, the answer first; empty until it is computed."""
    libraries: dict[str, str] = field(default_factory=dict)
    """Versions of libraries."""
    fanbench: dict[str, str] = field(default_factory=dict)
    """The `version` that measured it, and the `commit` of a checkout."""

    @property
    def ranked(self) -> list[Run]:
        """The runs that are compared: all but the extra ones, in which something breaks that the scenario does not break."""
        return [run for run in self.runs if run.scenario.faults == self.scenario.faults]

    @property
    def rounds(self) -> int:
        """The wanted rounds; if a comparison stopped early, the rounds that started."""
        started = max((run.round for run in self.ranked), default=0)
        return started if self.stopping.looks else self.scenario.rounds
