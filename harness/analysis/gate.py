"""The baseline gate: `--baseline results/X --fail-if "p99_ms>+15%"` fails a comparison only on a significant difference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Self

from core.errors import UsageError, nearest
from core.scenario import Scenario
from harness.analysis.clock_bounds import clock_bound
from harness.analysis.judgements import MAX_CLOCK_SHARE
from harness.analysis.statistics import CONFIDENCE, MIN_ROUNDS, Interval, independent_ratio
from harness.results.load import load_results
from harness.results.run_record import Comparison, Run
from harness.results.summary import COLUMNS, row_of

EXAMPLE = "p99_ms>+15%"
_RULE = re.compile(r"([a-z0-9_]+)\s*([<>])\s*([+-])\s*([0-9]*\.?[0-9]+)\s*%\Z")
_GATED = tuple(name for name in COLUMNS if name.endswith(("_ms", "_cpu_s", "_rss_mb", "achieved_hz")))
_MAY_DIFFER = {"name", "description", "rounds", "seed", "connect_hz", "drain_s"}


@dataclass(frozen=True, slots=True)
class Rule:
    """A figure of summary.csv and the largest allowed change from the baseline: factor 1.15 is +15%."""

    column: str
    rises: bool
    factor: float
    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `p99_ms>+15%` or `achieved_hz<-5%`.

        Raises:
            UsageError: it is not such a rule; the message names the nearest column.
        """
        match = _RULE.match(text.strip())
        if match is None:
            raise UsageError(f"--fail-if {text!r} cannot be read; write for instance --fail-if '{EXAMPLE}'")
        column, relation, sign, number = match.groups()
        if column not in _GATED:
            raise UsageError(f"--fail-if {text!r}: no column '{column}' to gate on; {nearest(column, _GATED)}")
        if (relation == ">") != (sign == "+"):
            raise UsageError(f"--fail-if {text!r}: a rise is >+N%, a fall <-N%; write for instance '{EXAMPLE}'")
        if sign == "-" and float(number) >= 100:
            raise UsageError(f"--fail-if {text!r}: no figure can fall by {number}%; give less than 100")
        return cls(column, sign == "+", 1 + float(f"{sign}{number}") / 100, text.strip())

    def broken(self, ratio: Interval) -> bool:
        """Whether the change exceeds the rule and is significant: its whole interval is on one side of no change."""
        if self.rises:
            return ratio.estimate > self.factor and ratio.low > 1
        return ratio.estimate < self.factor and ratio.high < 1


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's result for one contender."""

    contender: str
    failed: bool
    words: str


@dataclass(frozen=True, slots=True)
class BaselineGate:
    """A baseline and the rules to check against it."""

    baseline: Comparison
    rules: tuple[Rule, ...]

    @classmethod
    def open(
        cls,
        folder: Path,
        rules: str,
        scenario: Scenario,
        contenders: Sequence[str],
        transports: Sequence[str] = ("sse",),
    ) -> Self:
        """Read the baseline and the comma-separated rules, before anything is measured.

        Raises:
            UsageError: the folder is not a result directory, a rule cannot be read, the workload differs, no contender
            is in both, or there are too few rounds for a significant change.
        """
        parsed = tuple(Rule.parse(text) for text in rules.split(",") if text.strip())
        if not parsed:
            raise UsageError(f"--fail-if {rules!r} has no rule; write for instance --fail-if '{EXAMPLE}'")
        baseline = load_results(folder)
        old, new = baseline.scenario.model_dump(), scenario.model_dump()
        for name in old.keys() - _MAY_DIFFER:
            if old[name] != new[name]:
                raise UsageError(
                    f"--baseline {folder} measured {name} = {old[name]}, this run has {new[name]}: figures of different "
                    f"workloads cannot be compared; repeat the baseline's command: {baseline.command}"
                )
        if scenario.rounds < MIN_ROUNDS:
            raise UsageError(f"{scenario.rounds} rounds are too few for --fail-if; give --rounds {MIN_ROUNDS} or more")
        rounds = {(name, over): len(_valid(baseline, name, over)) for name in contenders for over in transports}
        if not any(rounds.values()):
            known = dict.fromkeys(_named(run.contender, run.transport) for run in baseline.runs)
            wanted = ", ".join(_named(*one) for one in rounds)
            raise UsageError(f"--baseline {folder} has no valid run of {wanted}; it has {', '.join(known)}")
        if max(rounds.values()) < MIN_ROUNDS:
            raise UsageError(
                f"--baseline {folder} has {max(rounds.values())} valid rounds, too few for --fail-if; measure it again "
                f"with --rounds {MIN_ROUNDS} or more"
            )
        return cls(baseline, parsed)

    def check(self, now: Comparison) -> list[Finding]:
        """Check each rule for each contender of `now`. The risk of any false failure is 1 - CONFIDENCE."""
        gated = list(dict.fromkeys((run.contender, run.transport) for run in now.runs))
        comparisons = len(gated) * len(self.rules)
        findings = [self._check(now, *one, rule, comparisons) for one in gated for rule in self.rules]
        other = [key for key in ("cpu", "cores") if now.host.get(key) != self.baseline.host.get(key)]
        if other:
            was, is_now = (", ".join(c.host.get(key, "?") for key in other) for c in (self.baseline, now))
            words = f"the baseline was measured on another machine ({was}; here {is_now}): a difference may be the machine's"
            findings.append(Finding("", False, words))
        return findings

    def _check(self, now: Comparison, contender: str, transport: str, rule: Rule, comparisons: int) -> Finding:
        before, after = (_figures(comparison, contender, transport, rule.column) for comparison in (self.baseline, now))
        name = _named(contender, transport)
        if min(len(before), len(after)) < MIN_ROUNDS:
            words = (
                f"{name}: {rule.text} was not judged: {len(after)} valid rounds with this figure here, {len(before)} in "
                f"the baseline, {MIN_ROUNDS} are needed"
            )
            return Finding(name, False, words)
        ratio = independent_ratio(before, after, comparisons)
        runs = [run for comparison in (self.baseline, now) for run in _valid(comparison, contender, transport)]
        bound_ms = clock_bound(runs, rule.column)
        bound = bound_ms / median(before) if bound_ms else 0.0
        change = f"{name}: {rule.column} {_per_cent(ratio.estimate)} [{_per_cent(ratio.low)}, {_per_cent(ratio.high)}]"
        if bound > MAX_CLOCK_SHARE * abs(ratio.estimate - 1) and not ratio.low <= 1 <= ratio.high:
            words = f"{change}: {rule.text} was not judged: the hosts' clocks are known within {bound:.1%} of the figure only"
            return Finding(name, False, words)
        if rule.broken(ratio):
            return Finding(name, True, f"{change}: breaks {rule.text}")
        if ratio.low <= 1 <= ratio.high:
            return Finding(name, False, f"{change}: no significant difference from the baseline")
        return Finding(name, False, f"{change}: within {rule.text}")


def _per_cent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.0f}%"


def _named(contender: str, transport: str) -> str:
    return contender if transport == "sse" else f"{contender} over {transport}"


def _valid(comparison: Comparison, contender: str, transport: str) -> list[Run]:
    """The key of comparable runs: other transports, and runs with faults, are not comparable."""
    same = [run for run in comparison.ranked if (run.contender, run.transport) == (contender, transport)]
    return [run for run in same if run.valid]


def _figures(comparison: Comparison, contender: str, transport: str, column: str) -> list[float]:
    cells = [row_of(run, 1).cells()[column] for run in _valid(comparison, contender, transport)]
    return [float(cell) for cell in cells if cell is not None]


def in_words(findings: Sequence[Finding]) -> str:
    """The findings, one on each line, and the outcome."""
    failed = sum(finding.failed for finding in findings)
    outcome = (
        "gate passed"
        if not failed
        else f"gate failed: {failed} significant at {CONFIDENCE:.0%} over all rules together"
    )
    return "\n".join([*(finding.words for finding in findings), outcome])
