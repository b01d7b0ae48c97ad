"""Decides when a comparison may stop: every pair is settled, or the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from core.contracts.manifest import Stopping
from harness.analysis.standings import settled
from harness.analysis.statistics import MIN_ROUNDS
from harness.results.run_record import Comparison

WITHIN_S = 360.0
FIRST_LOOK = 6
_LOOKS = 6


def planned_rounds(round_s: float, within_s: float) -> int:
    """The number of rounds of `round_s` seconds that fit into the time, but at least the minimum for a verdict."""
    return max(MIN_ROUNDS, min(1000, int(within_s / round_s)))


def planned_looks(rounds: int) -> tuple[int, ...]:
    """The rounds after which the comparison is judged: at most six looks, the last one at the end."""
    evenly = {-(-rounds * part // _LOOKS) for part in range(1, _LOOKS + 1)}
    return tuple(sorted(look for look in evenly if look >= FIRST_LOOK or look == rounds))


class UntilSettled:
    """Decides after each round whether it was the last.

    `stopping` then has the looks that the intervals must account for. The duration of the first round determines the
    number of rounds and the looks. This is sound, because no figure has been looked at by then.
    The minimum number of rounds for a verdict always runs.
    """

    def __init__(
        self, rounds: int, within_s: float, margin: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`rounds` is the maximum, where the schedule ends."""
        self.stopping = Stopping(margin=margin, looks=planned_looks(rounds))
        self._clock = clock
        self._began_s = self._round_began_s = clock()
        self._most, self._within_s = rounds, within_s
        self.plan = ""
        """Called after the first round with its duration and the planned number of rounds, as text."""

    def ends(self, rounds: int, comparison: Comparison) -> bool:
        """Whether the first `rounds` rounds, whose runs are in `comparison`, are enough."""
        now_s = self._clock()
        took_s, self._round_began_s = now_s - self._round_began_s, now_s
        if rounds == 1:
            self._plan(took_s)
        if rounds in self.stopping.looks[:-1]:
            as_settled = self.stopping.model_copy(update={"settled": True})
            if settled(replace(comparison, stopping=as_settled)):
                self.stopping = as_settled
                return True
        if rounds < MIN_ROUNDS:
            return False
        if not any(run.valid for run in comparison.runs):
            return True  # each was refused so often that the next run would be too
        return rounds >= self.stopping.looks[-1] or now_s + took_s > self._began_s + self._within_s

    def _plan(self, took_s: float) -> None:
        rounds = min(self._most, planned_rounds(took_s, self._within_s))
        self.stopping = self.stopping.model_copy(update={"looks": planned_looks(rounds)})
        self.plan = (
            f"a round took {took_s:.0f} s: {rounds} rounds at most, about {max(1, round(rounds * took_s / 60))} min"
        )
        if rounds * took_s > self._within_s:
            self.plan += (
                f"; {self._within_s:g} s are not enough for the {MIN_ROUNDS} rounds that a verdict needs. "
                "Name fewer contenders for a shorter comparison"
            )
