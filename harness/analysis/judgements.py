"""Judges each pair of contenders, figure by figure, as equivalent, different or not settled.

*Equivalent*: the ratio's whole interval is within the margin. *Different*: it is not, and it excludes 1. *Not settled*:
neither; the judgement says how many more rounds would probably suffice. An interval within the margin that excludes 1
is equivalent: the difference is real but too small to matter; `told_apart` still reports it. One risk, 1 - CONFIDENCE,
that any interval misses the true ratio, covers all pairs, figures, promises and looks of a comparison. It is divided
evenly among figures and promises (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import median
from typing import Literal

from harness.analysis.boundaries import Looks
from harness.analysis.statistics import CONFIDENCE, MIN_ROUNDS, Difference, Interval, differences
from harness.results.run_record import Run
from harness.results.summary import value_of

Word = Literal["equivalent", "different", "not settled"]
MARGIN = 1.25
MAX_CLOCK_SHARE = 0.10
"""The largest clock bound, as a share of a claimed difference."""
TAIL_EVENTS = 2
"""The number of events that a percentile needs beyond it; otherwise a single event sets it."""


@dataclass(frozen=True, slots=True)
class JudgedFigure:
    """A figure by which contenders are distinguished."""

    name: str
    words: str
    value: Callable[[Run], float | None]
    """A run's value: positive, smaller is better; None if it was not measured."""
    percentile: float | None = None
    headline: bool = True
    """Whether a comparison continues until every pair is settled on it."""
    span: str = ""
    """The hop whose clock bound applies; empty if no clock is compared for it."""


def cpu_us_per_delivery(run: Run) -> float | None:
    """CPU of the parts that a service pays for (broker, replicas and generator), in microseconds per delivery.

    None if one of them was not watched: the sum of the others would favour this contender over a fully watched one.
    """
    paid_for = ("broker", "server", "generator")
    if any(part in run.not_watched for part in paid_for):
        return None
    used_s = sum(run.usage[part].cpu_s for part in paid_for if part in run.usage)
    return used_s / run.delivered * 1e6 if used_s and run.delivered else None


P50 = JudgedFigure("p50", "p50", lambda run: value_of(run, "p50_ms"), 50, span="latency")
P90 = JudgedFigure("p90", "p90", lambda run: value_of(run, "p90_ms"), 90, span="latency")
P99 = JudgedFigure("p99", "p99", lambda run: value_of(run, "p99_ms"), 99, span="latency")
BROKER = JudgedFigure("broker", "the broker hop", lambda run: value_of(run, "broker_p50_ms"), 50, span="broker")
"""Its median, which the sum of all hops would hide."""
CPU = JudgedFigure("cpu", "CPU per delivery", cpu_us_per_delivery, headline=False)
FIGURES = (P50, P90, P99, BROKER, CPU)


def carried(events: int, percentile: float) -> bool:
    """Whether this many events support the percentile, with TAIL_EVENTS of them beyond it.

    Events count, not deliveries: an event reaches all clients in one fan-out, so its deliveries are late together.
    """
    return events * (100 - percentile) / 100 >= TAIL_EVENTS - 1e-9


@dataclass(frozen=True, slots=True)
class PairJudgement:
    """The judgement of two contenders in one figure."""

    figure: str
    faster: str
    slower: str
    ratio: Interval
    """`slower`'s figure divided by `faster`'s, so the estimate is at least 1."""
    rounds: int
    """The rounds that both have."""
    margin: float
    rounds_needed: int = 0
    """Approximate number of further rounds that would settle it; 0 if it is settled."""
    minutes_needed: float = 0.0
    """The duration of these rounds with all contenders."""
    clock_bound: float = 0.0
    """The bound of the hosts' clocks, as a share of `faster`'s figure; 0 on one host."""

    @property
    def told_apart(self) -> bool:
        """Whether the interval excludes 1, so that they differ, however slightly."""
        return self.ratio.low > 1

    @property
    def within_margin(self) -> bool:
        """Whether the whole interval is within the margin, so that any difference is too small to matter."""
        return self.ratio.high <= self.margin and self.ratio.low >= 1 / self.margin

    @property
    def blurred(self) -> bool:
        """Whether the clocks are too inexact for the judgement, different or equivalent."""
        claimed = self.margin - 1 if self.within_margin else self.ratio.estimate - 1
        return self.clock_bound > MAX_CLOCK_SHARE * claimed

    @property
    def word(self) -> Word:
        """The judgement."""
        if self.blurred:
            return "not settled"
        return "equivalent" if self.within_margin else "different" if self.told_apart else "not settled"

    @property
    def settled(self) -> bool:
        """Whether more rounds would not help."""
        return self.blurred or self.word != "not settled"


@dataclass(frozen=True, slots=True)
class FamilyJudgement:
    """The pairs of one promise's contenders, figure by figure."""

    delivery: str
    contenders: tuple[str, ...]
    """The contenders with enough rounds."""
    margin: float
    by_figure: Mapping[str, tuple[PairJudgement, ...]]
    """Every pair, by the figure's name; empty if a figure was not measured or has too few events."""

    def pair(self, figure: JudgedFigure, one: str, other: str) -> PairJudgement | None:
        """The judgement of two contenders in one figure, in either order; None if it was not judged."""
        wanted = {one, other}
        return next((j for j in self.by_figure.get(figure.name, ()) if {j.faster, j.slower} == wanted), None)

    def headline(self, one: str, other: str) -> tuple[PairJudgement, ...]:
        """The judgements of two contenders in the headline figures, in the figures' order."""
        return tuple(judged for figure in FIGURES if figure.headline and (judged := self.pair(figure, one, other)))

    def overall(self, one: str, other: str) -> Word:
        """The judgement over the headline figures: different in any, equivalent in all, or not settled."""
        words = {judged.word for judged in self.headline(one, other)}
        return "different" if "different" in words else "equivalent" if words == {"equivalent"} else "not settled"

    def slower_in(self, one: str, other: str) -> tuple[PairJudgement, ...]:
        """The headline figures in which `one` is different from `other`, and slower."""
        return tuple(j for j in self.headline(one, other) if j.word == "different" and j.slower == one)

    @property
    def unbeaten(self) -> tuple[str, ...]:
        """The contenders that no other beats: faster in a headline figure and slower in none."""
        return tuple(one for one in self.contenders if not self._beaten(one))

    def _beaten(self, one: str) -> bool:
        others = (other for other in self.contenders if other != one)
        return any(self.slower_in(one, other) and not self.slower_in(other, one) for other in others)

    @property
    def choice(self) -> Word:
        """The judgement of the unbeaten: equivalent (take any), different (each wins elsewhere), or not settled.

        A single unbeaten contender is different from the others.
        """
        words = {self.overall(one, other) for one, other in combinations(self.unbeaten, 2)}
        return "not settled" if "not settled" in words else "equivalent" if words == {"equivalent"} else "different"

    @property
    def unsettled(self) -> tuple[PairJudgement, ...]:
        """The judgements of headline figures that more rounds would settle."""
        return tuple(
            judged
            for one, other in combinations(self.contenders, 2)
            for judged in self.headline(one, other)
            if not judged.settled
        )

    @property
    def settled(self) -> bool:
        """Whether every pair is settled in every headline figure."""
        return bool(self.contenders) and not self.unsettled


def judge_family(
    delivery: str,
    runs: Mapping[str, Sequence[Run]],
    *,
    margin: float,
    looks: Looks,
    promises: int = 1,
    round_s: float = 0.0,
) -> FamilyJudgement:
    """Judge the contenders of one promise by their valid runs; a round takes `round_s` seconds.

    `promises` is the number of judged families, which share the risk.
    """
    ranked = {name: found for name, found in runs.items() if len({run.round for run in found}) >= MIN_ROUNDS}
    risk = (1 - CONFIDENCE) / len(FIGURES) / promises
    by_figure = {
        figure.name: tuple(
            _judgement(figure, found, margin, round_s, looks, ranked)
            for found in differences(_values(ranked, figure), looks, risk)
        )
        for figure in FIGURES
    }
    return FamilyJudgement(delivery, tuple(ranked), margin, by_figure)


def _values(runs: Mapping[str, Sequence[Run]], figure: JudgedFigure) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for name, of in runs.items():
        if figure.percentile is not None and not carried(sum(run.published for run in of), figure.percentile):
            continue
        values = {run.round: value for run in of if (value := figure.value(run)) is not None}
        if len(values) >= MIN_ROUNDS:
            found[name] = values
    return found


def _judgement(
    figure: JudgedFigure,
    found: Difference,
    margin: float,
    round_s: float,
    looks: Looks,
    runs: Mapping[str, Sequence[Run]],
) -> PairJudgement:
    bound = _clock_bound(figure, runs[found.faster], runs[found.slower])
    judged = PairJudgement(
        figure.name, found.faster, found.slower, found.ratio, found.rounds, margin, clock_bound=bound
    )
    if judged.settled:
        return judged
    more = _rounds_needed(found, margin, looks)
    return replace(judged, rounds_needed=more, minutes_needed=more * round_s / 60)


def _clock_bound(figure: JudgedFigure, faster: Sequence[Run], slower: Sequence[Run]) -> float:
    """The widest clock bound in any run, as a share of the faster contender's figure."""
    bound_ms = max((run.figures.get(f"{figure.span}_bound_ms", 0.0) for run in (*faster, *slower)), default=0.0)
    values = [value for run in faster if (value := figure.value(run))]
    return bound_ms / median(values) if bound_ms and values else 0.0


def _rounds_needed(found: Difference, margin: float, looks: Looks) -> int:
    """Estimate the further rounds: the interval shrinks with their square root until it excludes 1 or fits in."""
    if not math.isfinite(found.ratio.high):  # interrupted before any judgement: the rest of the plan
        return max(1, looks.planned[-1] - found.rounds)
    half_width = math.log(found.ratio.high / found.ratio.estimate)
    estimate = math.log(found.ratio.estimate)
    enough = max(estimate, math.log(margin) - estimate)
    return max(1, math.ceil(found.rounds * ((half_width / enough) ** 2 - 1)))
