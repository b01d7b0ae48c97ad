"""The effect of a fault of nodes on clients, over its rounds: the silence with its interval, and the losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.analysis.fault_outcomes import FaultOutcome, outcomes, over_runs
from harness.analysis.statistics import Interval
from harness.results.run_record import Comparison


@dataclass(frozen=True, slots=True)
class Failover:
    """One contender in one fault of nodes."""

    outcome: FaultOutcome
    settings: Mapping[str, int]
    """The settings that decide its timeouts."""

    @property
    def silences_s(self) -> list[float]:
        """Any client's longest silence, in each valid run."""
        return [value / 1000 for value in self.outcome.values("silence_ms")]

    @property
    def silence_s(self) -> Interval | float | None:
        """Their mean with its interval, or the lowest and the highest for fewer than MIN_ROUNDS runs.

        None without runs.
        """
        return over_runs(self.silences_s)

    @property
    def median_silence_s(self) -> Interval | float | None:
        """The silence of the median client; mean, interval and range as for `silence_s`."""
        return over_runs([value / 1000 for value in self.outcome.values("silence_p50_ms")])

    @property
    def outage_s(self) -> Interval | float | None:
        """How long publishing failed: the mean of the runs' longest outages."""
        return over_runs([value / 1000 for value in self.outcome.values("publish_outage_ms")])

    @property
    def whole_s(self) -> Interval | float | None:
        """The time from the fault until the last client got an event that was due after it: the mean of the runs."""
        return over_runs([value / 1000 for value in self.outcome.values("recovery_max_ms")])

    @property
    def led(self) -> int | None:
        """The number of runs of connected-node-kill in which the node was also the leader; None for other faults."""
        values = self.outcome.values("broken_node_led")
        return int(sum(values)) if values else None

    @property
    def helped(self) -> int:
        """The number of runs in which a node that was cut off did not rejoin and was restarted."""
        return int(sum(self.outcome.values("needed_help")))

    @property
    def lost_though_published(self) -> int:
        """Lost deliveries whose publish had succeeded."""
        return int(sum(self.outcome.values("lost_though_published")))


def failovers(comparison: Comparison) -> list[Failover]:
    """The failovers of all faults of nodes, in the order of the runs."""
    found: Sequence[FaultOutcome] = outcomes(comparison.runs)
    return [
        Failover(outcome, comparison.settings.get(outcome.contender, {}))
        for outcome in found
        if any(fault.of_nodes for run in (*outcome.runs, *outcome.refused) for fault in run.scenario.faults)
    ]
