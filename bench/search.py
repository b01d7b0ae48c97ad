"""Finds the largest load that holds: doubling, then bisection, then confirmation in separate runs. Pure of any clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where to look, and how finely: `precision` 0.1 ends when the steps are 10 % apart."""

    start: int
    least: int
    most: int
    precision: float = 0.1
    confirmations: int = 2
    """Further runs that must hold at the answer, and one of which must break above it."""
    max_probes: int = 24


@dataclass(slots=True)
class Answer:
    """What the search found; `held` is the largest load that held every time, `broke` the next one that did not."""

    held: int | None = None
    broke: int | None = None
    confirmed: bool = False
    probes: list[tuple[int, bool]] = field(default_factory=list)
    """Each load tried and whether it held, in order."""
    note: str = ""
    """Why there is no bound, or why it is not confirmed; empty when it is."""


class _OutOfProbes(Exception):  # noqa: N818 - a way out of nested steps, not an error
    pass


class _Search:
    def __init__(self, holds: Callable[[int], bool], bounds: Bounds) -> None:
        self._holds = holds
        self._bounds = bounds
        self.answer = Answer()

    def probe(self, load: int) -> bool:
        if len(self.answer.probes) >= self._bounds.max_probes:
            raise _OutOfProbes
        held = self._holds(load)
        self.answer.probes.append((load, held))
        return held

    def run(self) -> Answer:
        answer, bounds = self.answer, self._bounds
        try:
            self._bracket()
            while answer.held is not None and not answer.confirmed:
                self._bisect()
                self._confirm()
        except _OutOfProbes:
            answer.note = (
                f"stopped after {bounds.max_probes} runs without a confirmed answer: the loads near it hold by chance"
            )
        return answer

    def _bracket(self) -> None:
        """Double from `start` until a load breaks; if `start` breaks, halve until one holds."""
        answer, bounds = self.answer, self._bounds
        load = min(max(bounds.start, bounds.least), bounds.most)
        if self.probe(load):
            answer.held = load
            while answer.broke is None and load < bounds.most:
                load = min(load * 2, bounds.most)
                if self.probe(load):
                    answer.held = load
                else:
                    answer.broke = load
        else:
            answer.broke = load
            while answer.held is None and load > bounds.least:
                load = max(load // 2, bounds.least)
                if self.probe(load):
                    answer.held = load
                else:
                    answer.broke = load
            if answer.held is None:
                answer.note = f"no bound found: even the least load, {bounds.least}, does not hold"

    def _bisect(self) -> None:
        answer = self.answer
        while answer.broke is not None and answer.held is not None:
            middle = (answer.held + answer.broke) // 2
            if answer.broke <= answer.held * (1 + self._bounds.precision) or middle == answer.held:
                return
            if self.probe(middle):
                answer.held = middle
            else:
                answer.broke = middle

    def _confirm(self) -> None:
        """Hold again at the answer, break again above it; a surprise moves the bracket and the search goes on."""
        answer, bounds = self.answer, self._bounds
        assert answer.held is not None
        for _ in range(bounds.confirmations):
            if not self.probe(answer.held):
                self._fall_back()
                return
        if answer.broke is None:
            answer.confirmed = True
            answer.note = f"no bound found: the largest load tried, {answer.held}, still holds"
        elif self.probe(answer.broke):
            answer.held, answer.broke = answer.broke, self._broke_above(answer.broke)
        else:
            answer.confirmed = True

    def _fall_back(self) -> None:
        """The answer broke in a further run: it is a load that breaks, and a smaller one must hold."""
        answer, bounds = self.answer, self._bounds
        assert answer.held is not None
        answer.broke = answer.held
        broken = {load for load, held in answer.probes if not held}
        safe = [load for load, held in answer.probes if held and load < answer.broke and load not in broken]
        answer.held = max(safe) if safe else None
        while answer.held is None and answer.broke > bounds.least:
            load = max(int(answer.broke / (1 + 2 * bounds.precision)), bounds.least)
            if self.probe(load):
                answer.held = load
            else:
                answer.broke = load
        if answer.held is None:
            answer.note = f"no bound found: even the least load, {bounds.least}, does not hold every time"

    def _broke_above(self, load: int) -> int | None:
        """The smallest load above `load` that broke before, or a step up to look for one."""
        above = [tried for tried, held in self.answer.probes if not held and tried > load]
        if above:
            return min(above)
        step = min(max(load + 1, int(load * (1 + self._bounds.precision))), self._bounds.most)
        while step > load and self.probe(step):
            self.answer.held = load = step
            step = min(max(load + 1, int(load * (1 + self._bounds.precision))), self._bounds.most)
        return step if step > load else None


def largest_that_holds(holds: Callable[[int], bool], bounds: Bounds) -> Answer:
    """Search the largest load for which `holds` is true; it is called once for each run, and may be noisy."""
    return _Search(holds, bounds).run()
