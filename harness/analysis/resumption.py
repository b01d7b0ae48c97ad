"""How a replica's death affects readers of sessions: who still gets every event, and how long that takes."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.fault_outcomes import FaultOutcome, outcomes, over_runs
from harness.analysis.judgement_words import listed, seconds
from harness.analysis.statistics import Interval
from harness.results.run_record import Comparison

KILLED = "replica-kill"


@dataclass(frozen=True, slots=True)
class Resumption:
    """A contender's runs in which a replica was killed."""

    outcome: FaultOutcome

    @property
    def visits(self) -> int:
        """The number of visits in all runs."""
        return round(sum(self.outcome.values("visits")))

    @property
    def complete(self) -> int:
        """Visits that got every event of their session up to their last one, once, with the bytes that were sent."""
        shares = [
            (run.figures.get("complete_visits", 0.0), run.figures.get("visits", 0.0)) for run in self.outcome.runs
        ]
        return sum(round(share * visits) for share, visits in shares)

    @property
    def resumes(self) -> bool:
        """Whether there were readers, and every one got the whole session."""
        whole = 0 < self.visits == self.complete
        return whole and not self.outcome.total("lost") and self.outcome.recovered

    @property
    def rounds(self) -> tuple[int, int]:
        """The rounds with a valid run, and those that were tried."""
        valid = {run.round for run in self.outcome.runs}
        return len(valid), len(valid | {run.round for run in self.outcome.refused})

    @property
    def waits_s(self) -> list[float]:
        """The longest silence of a reader in each run, in seconds."""
        return [value / 1000 for value in self.outcome.values("silence_ms")]

    @property
    def wait_s(self) -> Interval | float | None:
        """The mean wait with its interval, or the lowest and highest of a few runs; None without runs."""
        return over_runs(self.waits_s)


def resumptions(comparison: Comparison) -> list[Resumption]:
    """The contenders of a sessions comparison whose replica was killed: first those that resume, the shortest wait first."""
    if not comparison.scenario.sessions:
        return []
    found = [Resumption(outcome) for outcome in outcomes(comparison.runs) if outcome.fault == KILLED]
    return sorted(found, key=_order)


def _order(one: Resumption) -> tuple[bool, bool, float]:
    return (not one.outcome.runs, not one.resumes, sum(one.waits_s) / max(1, len(one.waits_s)))


def resumption_told(comparison: Comparison) -> list[str]:
    """Return who resumes a session after a replica's death, with the reader's wait, and then who does not."""
    found = resumptions(comparison)
    measured = [one for one in found if one.outcome.runs]
    whole = [one for one in measured if one.resumes]
    said = []
    if whole:
        verb = "resumes" if len(whole) == 1 else "resume"
        waits = listed([f"{seconds(one.wait_s)} with {one.outcome.contender}" for one in whole])
        said.append(
            f"After a replica's death {listed([one.outcome.contender for one in whole])} {verb} every session without losing or "
            f"repeating an event. The reader who waited longest waited {waits}."
        )
    elif measured:
        said.append("After a replica's death no contender here resumes every session.")
    broken = [one for one in measured if not one.resumes]
    if broken:
        said.append(f"Not whole after a replica's death: {listed([_broken(one) for one in broken])}.")
    fewer = [one for one in measured if one.rounds[0] < one.rounds[1]]
    if fewer:
        counts = [f"{one.rounds[0]} of {one.rounds[1]} with {one.outcome.contender}" for one in fewer]
        said.append(f"Valid rounds in which a replica died: {listed(counts)}; the others were refused.")
    refused = [one.outcome.contender for one in found if not one.outcome.runs]
    if refused:
        said.append(
            f"The runs of {listed(refused)} in which a replica died were refused; the report gives the reasons."
        )
    return said


def _broken(one: Resumption) -> str:
    lost, twice = one.outcome.total("lost"), one.outcome.total("duplicated")
    words = [f"{one.visits - one.complete:,} of {one.visits:,} visits"]
    words += [f"{lost:,} of {one.outcome.total('expected'):,} deliveries lost"] if lost else []
    words += [f"{twice:,} repeated"] if twice else []
    return f"{one.outcome.contender} ({', '.join(words)})"
