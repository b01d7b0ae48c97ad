"""Finds the largest load that holds: doubling, then bisection, then confirmation in further runs. Uses no clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Oracle = Callable[[int], bool | None]
"""Whether a load passes in one run, which may be noisy; None if the run could not be judged."""
Affords = Callable[[int], bool]
"""Whether there is time for this many further runs."""


@dataclass(frozen=True, slots=True)
class SearchBounds:
    """The range and precision of the search: `precision` 0.1 ends when the steps are 10% apart."""

    start: int
    least: int
    most: int
    precision: float = 0.1
    confirmations: int = 2
    """Further runs that must pass at the answer; above it, one must fail again."""


@dataclass(slots=True)
class SearchAnswer:
    """The findings so far: `held` is the largest load that passes, `broke` the next load above it, which fails."""

    held: int | None = None
    broke: int | None = None
    confirmed: bool = False
    probes: list[tuple[int, bool | None]] = field(default_factory=list)
    """Each tried load and whether it passed, in order."""
    note: str = ""
    """Why there is no limit, or why it is unconfirmed or coarse; otherwise empty."""

    def outcomes(self, load: int) -> list[bool | None]:
        """The outcomes at one load, in order."""
        return [held for tried, held in self.probes if tried == load]


class _OutOfTime(Exception):  # noqa: N818 - a way out of nested steps, not an error
    pass


class Search:
    """One search. `answer` is valid at any time, so that an interrupted search keeps its findings."""

    def __init__(self, holds: Oracle, bounds: SearchBounds, affords: Affords) -> None:
        self._holds = holds
        self._bounds = bounds
        self._affords = affords
        self.answer = SearchAnswer()

    def run(self) -> SearchAnswer:
        """Search to the end, or until there is no time for another run."""
        answer = self.answer
        try:
            self._bracket()
            while answer.held is not None and not answer.confirmed:
                self._bisect()
                self._confirm()
        except _OutOfTime:
            answer.note = "the time was up before it could be confirmed; allow more with --within"
        self._review()
        return answer

    def _probe(self, load: int) -> bool:
        if not self._affords(1):
            raise _OutOfTime
        held = self._holds(load)
        self.answer.probes.append((load, held))
        return held is True

    def _may_explore(self) -> bool:
        """Whether there is time for another search run before the confirming runs: a coarse answer beats none."""
        return self._affords(1 + self._bounds.confirmations + 1)

    def _bracket(self) -> None:
        """Double from `start` until a load breaks; if `start` breaks, halve until one holds."""
        answer, bounds = self.answer, self._bounds
        load = min(max(bounds.start, bounds.least), bounds.most)
        if not self._probe(load):
            answer.broke = load
            self._descend(2)
            return
        answer.held = load
        while answer.broke is None and load < bounds.most and self._may_explore():
            load = min(load * 2, bounds.most)
            if self._probe(load):
                answer.held = load
            else:
                answer.broke = load

    def _descend(self, factor: float) -> None:
        """Divide by `factor` until a load holds."""
        answer, least = self.answer, self._bounds.least
        while answer.held is None and answer.broke is not None and answer.broke > least:
            load = max(int(answer.broke / factor), least)
            if self._probe(load):
                answer.held = load
            else:
                answer.broke = load
        if answer.held is None:
            judged = answer.broke is None or False in answer.outcomes(answer.broke)
            answer.note = (
                f"no limit found: even the smallest load, {least:,}, does not hold"
                if judged
                else f"no limit found: no run at the smallest load, {least:,}, could be judged"
            )

    def _coarse(self) -> bool:
        """Whether there are loads between `held` and `broke` that are further apart than the precision."""
        held, broke = self.answer.held, self.answer.broke
        if held is None or broke is None:
            return False
        return broke > held * (1 + self._bounds.precision) and broke > held + 1

    def _bisect(self) -> None:
        answer = self.answer
        while self._coarse() and self._may_explore():
            assert answer.held is not None
            assert answer.broke is not None
            middle = (answer.held + answer.broke) // 2
            if self._probe(middle):
                answer.held = middle
            else:
                answer.broke = middle

    def _confirm(self) -> None:
        """Repeat the answer, which must pass, and the load above, which must fail.

        Otherwise move the bracket and continue.
        """
        answer = self.answer
        assert answer.held is not None
        for _ in range(self._bounds.confirmations):
            if not self._probe(answer.held):
                self._fall_back(answer.held)
                return
        if answer.broke is None or self._breaks_again(answer.broke):
            answer.confirmed = True
        else:
            answer.held, answer.broke = answer.broke, self._broke_above(answer.broke)

    def _fall_back(self, broke: int) -> None:
        """The answer broke in a further run: treat it as a load that breaks, and find a smaller one that holds."""
        answer = self.answer
        answer.broke = broke
        held = {load for load, held in answer.probes if held and load < broke}
        answer.held = max((load for load in held if all(answer.outcomes(load))), default=None)
        self._descend(1 + 2 * self._bounds.precision)

    def _breaks_again(self, load: int) -> bool:
        """Whether a load that broke fails again.

        A single failure may be chance: two runs in a row must contradict it.
        """
        if any(self.answer.outcomes(load)):
            return True  # it passed once and failed in a later run: it is not reliable
        return not self._probe(load) or not self._probe(load)

    def _broke_above(self, load: int) -> int | None:
        """The smallest load above `load` that broke before, or the first step up that does; None if there is none."""
        above = [tried for tried, held in self.answer.probes if not held and tried > load]
        if above:
            return min(above)
        most = self._bounds.most
        while load < most and self._may_explore():
            step = min(max(load + 1, int(load * (1 + self._bounds.precision))), most)
            if not self._probe(step):
                return step
            self.answer.held = load = step
        return None

    def _review(self) -> None:
        """Note what a confirmed answer lacks.

        Without a judged run above it, there is only a load that passes, not a limit.
        """
        answer = self.answer
        if not answer.confirmed:
            return
        if answer.broke is None:
            whole = answer.held == self._bounds.most
            answer.note = "no limit found: " + (
                "it is the largest load that this machine can carry"
                if whole
                else "the time was up; allow more with --within"
            )
        elif False not in answer.outcomes(answer.broke):
            answer.confirmed = False
            answer.note = f"no run at {answer.broke:,} could be judged"
        elif self._coarse():
            answer.note = "the time was up before the step became finer; allow more with --within"
