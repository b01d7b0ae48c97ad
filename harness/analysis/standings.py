"""The standing of each contender: its pooled runs, its figures with intervals, its rank within its promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.histogram import Histogram, index_values_ms
from harness.analysis.boundaries import Looks
from harness.analysis.judgements import P99, FamilyJudgement, PairJudgement, carried, judge_family
from harness.analysis.statistics import MIN_ROUNDS, Interval, bootstrap_interval, mean_interval, resampled_rounds
from harness.results.run_record import HOPS, LATENCY, PARTS, Comparison, Run

FLOOR = "memory"
"""The contender without a broker: the harness's floor, shown with the others but not ranked."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One contender of a comparison, with its valid runs."""

    contender: str
    delivery: str
    runs: tuple[Run, ...]
    """The valid runs."""
    refused: tuple[Run, ...]
    floor: bool

    @property
    def events(self) -> int:
        """Measured events of all valid runs, which support the percentiles, however many clients received each."""
        return self.total("published")

    def carries(self, percentile: float) -> bool:
        """Whether there are enough events to show the percentile."""
        return carried(self.events, percentile)

    @property
    def highest_carried(self) -> int:
        """99, 90 or 50: the highest percentile with enough events."""
        return next((percentile for percentile in (99, 90) if self.carries(percentile)), 50)

    def pooled(self, hop: str = LATENCY) -> Histogram:
        """The hop's histograms of all valid runs, merged."""
        merged = Histogram()
        for run in self.runs:
            if hop in run.histograms:
                merged.merge(run.histograms[hop])
        return merged

    def percentile(self, percentile: float, hop: str = LATENCY) -> Interval | None:
        """A percentile in milliseconds of all valid runs together; its interval is a bootstrap over the runs."""
        band = percentile_band([run.histograms[hop] for run in self.runs if hop in run.histograms], [percentile])
        return band[0] if band else None

    def total(self, count: str) -> int:
        """The sum over valid runs of a count such as `lost` or `expected`."""
        return sum(int(getattr(run, count)) for run in self.runs)

    def lost_to(self, cause: str) -> int:
        """The sum over valid runs of deliveries lost to one of CAUSES."""
        return sum(run.lost_by_cause.get(cause, 0) for run in self.runs)

    def tells(self, cause: str) -> bool:
        """Whether any valid run knows the losses by that cause: an external service does not report all."""
        return any(cause in run.lost_by_cause for run in self.runs)

    def share(self, hop: str) -> float | None:
        """The hop's part of the mean latency, from 0 to 1; None if nobody reported when it ended.

        Only means add up over hops: the deliveries that are slowest in one hop need not be slow in another, so a
        percentile cannot be split.
        """
        whole, part = self.pooled().mean_ms(), self.pooled(hop)
        return part.mean_ms() / whole if whole and part.count + part.negative else None

    def cpu_s_per_million(self, part: str) -> Interval | float | None:
        """CPU seconds of a part per million deliveries, run by run; a plain number if there is one run."""
        values = [
            run.usage[part].cpu_s / run.delivered * 1e6 for run in self.runs if part in run.usage and run.delivered
        ]
        if not values:
            return None
        return mean_interval(values) if len(values) > 1 else values[0]

    def rss_mb(self, part: str) -> float | None:
        """A part's largest resident memory in any valid run."""
        return max((run.usage[part].rss_mb for run in self.runs if part in run.usage), default=None)

    def not_watched(self, part: str) -> bool:
        """Whether the part ran but no valid run watched its CPU and memory."""
        return bool(self.runs) and all(part in run.not_watched for run in self.runs)

    def median_figure(self, name: str) -> float | None:
        """The median of a run's figure over the valid runs."""
        values = [run.figures[name] for run in self.runs if name in run.figures]
        return float(np.median(values)) if values else None

    def nearest_limit(self) -> tuple[str, float] | None:
        """The part whose busiest process was nearest to a full core (median over runs), and its share of the core."""
        cores = {
            part: float(np.median([run.usage[part].busiest_core for run in self.runs if part in run.usage]))
            for part in PARTS
            if any(part in run.usage for run in self.runs)
        }
        return max(cores.items(), key=lambda item: item[1]) if cores else None

    def main_hop(self) -> str | None:
        """The hop with the largest part of the mean latency; None unless all hops are known."""
        shares = {hop: share for hop in HOPS if (share := self.share(hop)) is not None}
        return max(shares, key=lambda hop: shares[hop]) if len(shares) == len(HOPS) else None


@dataclass(frozen=True, slots=True)
class Family:
    """The contenders of one delivery promise, which are ranked only among themselves."""

    delivery: str
    standings: tuple[Standing, ...]
    """Fastest first; without the floor, unless nothing else was measured."""
    judgement: FamilyJudgement
    """Every pair with enough rounds, in every figure."""

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Groups, fastest at p99 first; in a group none differs from the first. Empty with too few rounds."""
        rest = [s.contender for s in self.standings if s.contender in self.judgement.contenders]
        found = []
        while rest:
            leader = rest[0]
            judged = {name: self.judgement.pair(P99, leader, name) for name in rest[1:]}
            group = [leader, *(name for name, one in judged.items() if one is None or one.word != "different")]
            found.append(tuple(group))
            rest = [name for name in rest if name not in group]
        return tuple(found)

    @property
    def unranked(self) -> tuple[Standing, ...]:
        """The contenders with too few valid rounds for a verdict."""
        return tuple(s for s in self.standings if s.contender not in self.judgement.contenders)

    def behind_leader(self, contender: str) -> PairJudgement | None:
        """A contender's ratio to the first at p99."""
        return self.judgement.pair(P99, self.groups[0][0], contender) if self.groups else None


def percentile_band(histograms: Sequence[Histogram], percentiles: Sequence[float]) -> list[Interval]:
    """Percentiles in milliseconds of merged histograms, one for each round, with bootstrap intervals.

    With one round the interval is the figure itself; without values the list is empty.
    """
    filled = [histogram for histogram in histograms if histogram.count]
    if not filled:
        return []
    counts = np.stack([histogram.counts() for histogram in filled])
    used = np.flatnonzero(counts.any(axis=0))
    counts, values = counts[:, used], index_values_ms()[used]
    merged = _percentiles(counts.sum(axis=0, keepdims=True), values, percentiles)[0]
    if len(filled) == 1:
        return [Interval(float(value), float(value), float(value)) for value in merged]
    draws = resampled_rounds(len(filled))
    times = np.stack([(draws == number).sum(axis=1) for number in range(len(filled))], axis=1)
    distinct, inverse = np.unique(times, axis=0, return_inverse=True)
    resampled = _percentiles(distinct @ counts, values, percentiles)[inverse.ravel()]
    return [bootstrap_interval(resampled[:, i], float(merged[i]), len(filled)) for i in range(len(percentiles))]


def _percentiles(
    counts: npt.NDArray[np.int64], values: npt.NDArray[np.float64], percentiles: Sequence[float]
) -> npt.NDArray[np.float64]:
    """HDR's percentiles of each row of counts; shape (rows, percentiles)."""
    running = counts.cumsum(axis=1)
    wanted = np.maximum((np.asarray(percentiles) * running[:, -1:] / 100 + 0.5).astype(np.int64), 1)
    places = np.stack([np.searchsorted(row, want) for row, want in zip(running, wanted, strict=True)])
    return np.asarray(values[places], dtype=np.float64)


def standings(comparison: Comparison) -> list[Standing]:
    """Every contender that ran, ordered by pooled p99; then the floor, then those without a valid run.

    If a contender ran over several transports, each is a separate contender, such as `valkey over ws`. Runs with faults
    that do not belong to the comparison are left out.
    """
    several = len({run.transport for run in comparison.runs}) > 1
    by_name: dict[str, list[Run]] = {}
    for run in comparison.ranked:
        by_name.setdefault(f"{run.contender} over {run.transport}" if several else run.contender, []).append(run)
    found = []
    for name, runs in by_name.items():
        valid = tuple(sorted((run for run in runs if run.valid), key=lambda run: run.round))
        refused = tuple(run for run in runs if not run.valid)
        found.append(Standing(name, runs[0].delivery, valid, refused, runs[0].contender.split("#")[0] == FLOOR))
    return sorted(found, key=_order)


def _order(standing: Standing) -> tuple[bool, bool, float]:
    pooled = standing.pooled()
    return (pooled.count == 0, standing.floor, pooled.percentile_ms(99))


def families(comparison: Comparison, margin: float | None = None) -> list[Family]:
    """The contenders of each delivery promise, and the judgement of each pair.

    Without `margin`, the comparison's own applies.
    """
    every = standings(comparison)
    ranked = [standing for standing in every if not standing.floor] or every
    by_promise = {
        delivery: tuple(standing for standing in ranked if standing.delivery == delivery)
        for delivery in sorted({standing.delivery for standing in ranked}, reverse=True)
    }
    judged = sum(_has_pairs(members) for members in by_promise.values())
    round_s = comparison.scenario.run_s * len(every)
    stopping = comparison.stopping
    # Whoever interrupted it may have seen the figures, so this counts as a look and spends no more risk.
    looks = Looks(stopping.looks, stopping.settled or not comparison.complete)
    return [
        Family(
            delivery,
            members,
            judge_family(
                delivery,
                {member.contender: member.runs for member in members},
                margin=margin or stopping.margin,
                looks=looks,
                promises=max(1, judged),
                round_s=round_s,
            ),
        )
        for delivery, members in by_promise.items()
    ]


def settled(comparison: Comparison) -> bool:
    """Whether every pair with enough rounds is settled in every headline figure."""
    judged = [family.judgement for family in families(comparison) if family.judgement.contenders]
    return bool(judged) and all(one.settled for one in judged)


def _has_pairs(members: Sequence[Standing]) -> bool:
    return sum(len(member.runs) >= MIN_ROUNDS for member in members) > 1
