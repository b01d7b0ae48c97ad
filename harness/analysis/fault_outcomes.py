"""What each kind of fault did to each contender, over the runs with that fault.

A fault run is a run whose scenario has faults. These `figures` are read: `silence_ms` (longest time in which a client
got nothing), `silence_p50_ms` (of the median client), `publish_outage_ms` (longest time in which publishing did not
work), `lost_though_published` (lost deliveries whose publish had not failed), `broken_node_led` (1 if that node also
led), `needed_help` (1 if a cut-off node had to be restarted to make the cluster whole), `recovery_p50_ms` and
`recovery_max_ms` (from the fault to a client's first event after it), `replayed`, `reconnects`, `before_p99_ms` (all
clients' latency before the fault), `bystanders_p99_ms` (unaffected clients' latency after it), and `recovered` (1 if
every client got events again without help).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.fault import FaultKind
from harness.analysis.statistics import MIN_ROUNDS, Interval, mean_interval
from harness.results.run_record import Comparison, Run

AT_LEAST_ONCE = "at-least-once"


@dataclass(frozen=True, slots=True)
class FaultOutcome:
    """The effect of one kind of fault on one contender, over its valid runs."""

    contender: str
    delivery: str
    fault: FaultKind
    runs: tuple[Run, ...]
    refused: tuple[Run, ...]

    def total(self, count: str) -> int:
        """The sum over valid runs of a count such as `lost`."""
        return sum(int(getattr(run, count)) for run in self.runs)

    def worst(self, figure: str) -> float | None:
        """The largest value of a figure in any valid run; None if it was not measured."""
        return max((run.figures[figure] for run in self.runs if figure in run.figures), default=None)

    def values(self, figure: str) -> list[float]:
        """A figure in each valid run that has it."""
        return [run.figures[figure] for run in self.runs if figure in run.figures]

    def over_runs(self, figure: str) -> Interval | float | None:
        """Return the mean of a figure over the runs with its interval.

        With fewer than MIN_ROUNDS, the observed range, as in `over_runs`.
        """
        return over_runs(self.values(figure))

    @property
    def recovered(self) -> bool:
        """Whether every client got events again, in every run; also true if it was not measured."""
        return all(run.figures.get("recovered", 1.0) >= 1.0 for run in self.runs)

    @property
    def broken_promise(self) -> bool:
        """Whether the delivery promise was broken."""
        return self.delivery == AT_LEAST_ONCE and self.total("lost") > 0

    @property
    def notes(self) -> list[str]:
        """The runs' notes without duplicates."""
        return list(dict.fromkeys(note for run in self.runs for note in run.notes))


def over_runs(values: Sequence[float]) -> Interval | float | None:
    """The mean with its interval, or the lowest and the highest for fewer than MIN_ROUNDS values.

    None without values.
    """
    if not values:
        return None
    if len(values) >= MIN_ROUNDS:
        return mean_interval(values)
    # A few values give no interval at CONFIDENCE: show only the observed range.
    return Interval(sum(values) / len(values), min(values), max(values)) if len(values) > 1 else values[0]


def stands_out(by_name: Mapping[str, Sequence[float]]) -> str | None:
    """Return the name whose mean is above all others, by their intervals.

    None if the intervals overlap, or if one has fewer than MIN_ROUNDS values.
    """
    if any(len(values) < MIN_ROUNDS for values in by_name.values()):
        return None
    ranges = {name: mean_interval(values) for name, values in by_name.items()}
    first = max(ranges, key=lambda name: ranges[name].estimate)
    return first if all(ranges[first].low > one.high for name, one in ranges.items() if name != first) else None


def is_fault_run(run: Run) -> bool:
    """Whether the run had a fault."""
    return bool(run.scenario.faults)


def is_about_faults(comparison: Comparison) -> bool:
    """Whether faults were the subject: a comparison of transports also has runs with a fault."""
    return bool(comparison.runs) and all(is_fault_run(run) for run in comparison.runs)


def outcomes(runs: Sequence[Run]) -> list[FaultOutcome]:
    """The fault runs by contender and kind of fault, in the order of the runs."""
    by_cell: dict[tuple[str, str, FaultKind], list[Run]] = {}
    for run in runs:
        for fault in run.scenario.faults:
            by_cell.setdefault((run.contender, run.delivery, fault.kind), []).append(run)
    return [
        FaultOutcome(
            contender,
            delivery,
            kind,
            tuple(run for run in cell if run.valid),
            tuple(run for run in cell if not run.valid),
        )
        for (contender, delivery, kind), cell in by_cell.items()
    ]
