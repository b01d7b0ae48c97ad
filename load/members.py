"""The workers that have taken part in a test, and their reports so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.contracts.load_result import WITHOUT_TOTALS
from core.contracts.load_status import LoadStatus, WorkerUsage
from load.messages import Began
from load.worker_result import Horizon, WorkerResult, widest


@dataclass(slots=True)
class Member:
    """A worker that has taken part in the test."""

    began: Began | None = None
    status: LoadStatus | None = None
    usage: WorkerUsage | None = None
    had_seats: bool = False
    measure_from_ns: int = 0
    """The time from which it measures, as reported."""
    saw: Horizon | None = None
    result: WorkerResult | None = None
    gone: bool = False
    """It has ended, or no longer answers."""

    def measures(self, from_ns: int) -> None:
        """Whether it has discarded its earlier measurements."""
        self.measure_from_ns = from_ns
        if self.status is not None:
            self.status = _without_counts(self.status)


@dataclass(slots=True)
class Members:
    """All members of a test."""

    by_name: dict[str, Member] = field(default_factory=dict)

    def there(self) -> list[str]:
        """The members that have not left."""
        return [name for name, one in self.by_name.items() if not one.gone]

    def why_not_begun(self, deadline_s: float) -> list[str]:
        """The reason why members cannot start; empty if there is none."""
        reasons = []
        for name, one in self.by_name.items():
            if one.began is None and not one.gone:
                reasons.append(f"worker {name} did not answer within {deadline_s:g} s; see its log")
            elif one.began is not None and one.began.problem:
                reasons.append(f"worker {name} cannot begin: {one.began.problem}")
        return reasons

    def status(self, measure_from_ns: int | None) -> LoadStatus:
        """The numbers of the present members, and the deliveries of those that have left.

        Leave out what a member counted before it began to measure from `measure_from_ns`.
        """
        members = self.by_name.values()
        told = [
            one.status if measure_from_ns in (None, one.measure_from_ns) else _without_counts(one.status)
            for one in members
            if one.status is not None and not one.gone
        ]
        left = [one.result.tally for one in members if one.gone and one.result is not None]
        return LoadStatus(
            clients=sum(one.clients for one in told),
            connecting=sum(one.connecting for one in told),
            waiting=sum(one.waiting for one in told),
            reached=sum(one.reached for one in told),
            deliveries=sum(one.deliveries for one in told) + sum(one.deliveries for one in left),
            reconnects=sum(one.reconnects for one in told) + sum(one.reconnects for one in left),
            visitors=sum(one.visitors for one in told),
            workers=tuple(one.usage for one in members if one.usage is not None and not one.gone),
        )

    def horizon(self) -> Horizon:
        """The horizon over all members."""
        members = self.by_name.values()
        return widest(
            [one.saw for one in members if one.saw is not None]
            + [one.result.horizon() for one in members if one.result is not None]
        )

    def total(self) -> WorkerResult:
        """The measurements of all members."""
        total = WorkerResult()
        for one in self.by_name.values():
            if one.result is not None:
                total.add(one.result)
        return total

    def without_totals(self) -> list[str]:
        """Name the members whose deliveries are missing."""
        return [
            f"worker {name} {WITHOUT_TOTALS}: its clients' deliveries are missing; see its log, and run again"
            for name, one in self.by_name.items()
            if one.result is None and one.had_seats
        ]


def _without_counts(status: LoadStatus) -> LoadStatus:
    return status.model_copy(update={"deliveries": 0, "reconnects": 0})
