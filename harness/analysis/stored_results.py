"""Stored result directories by kind: a comparison, a capacity search, faults, transports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.plain_text import plain
from harness.analysis.fault_outcomes import is_about_faults
from harness.results.load import load_capacity, load_results, result_folders
from harness.results.run_record import Comparison, Run
from harness.results.store import INCOMPLETE, PARTIAL


@dataclass(frozen=True, slots=True)
class Result:
    """One result directory, by name."""

    name: str
    comparison: Comparison
    search: bool

    @property
    def kind(self) -> str:
        """The kind of measurement in one or two words."""
        if self.search:
            return "capacity search"
        if is_about_faults(self.comparison):
            return "faults"
        return "comparison" if self.compares else "transports"

    @property
    def compares(self) -> bool:
        """Whether its contenders ran interleaved on one load, all over SSE, without faults."""
        transports = {run.transport for run in self.comparison.runs}
        return not self.search and not is_about_faults(self.comparison) and transports == {"sse"}

    def runs_of(self, contender: str) -> list[tuple[int, Run]]:
        """The valid runs of a contender over SSE, with their `run` in summary.csv."""
        numbered = enumerate(self.comparison.runs, 1)
        return [(n, run) for n, run in numbered if run.contender == contender and run.valid and run.transport == "sse"]

    def ranked_of(self, contender: str) -> list[tuple[int, Run]]:
        """Those of `runs_of` that are compared, without the extra ones in which something breaks."""
        faults = self.comparison.scenario.faults
        return [(n, run) for n, run in self.runs_of(contender) if run.scenario.faults == faults]


def newest_folders(own: Path, reference: Path) -> list[Path]:
    """Return the complete result directories in `own` if a comparison with a valid run is among them, otherwise those in `reference`.

    `fanbench capacity --all` puts its searches into a separate directory, one level below.
    """
    complete = [
        path.parent
        for path in sorted([*own.glob("*/manifest.json"), *own.glob("*-capacity-*-all/*/manifest.json")])
        if not path.parent.name.endswith((PARTIAL, INCOMPLETE))
    ]
    compared = any(one.compares and any(run.valid for run in one.comparison.ranked) for one in map(load, complete))
    return complete if compared else result_folders(reference)


def load(folder: Path) -> Result:
    """One result directory.

    Raises:
        UsageError: the directory is not a result, or is damaged.
    """
    return Result(plain(folder.name), load_results(folder), load_capacity(folder) is not None)


def load_all(paths: Sequence[Path]) -> list[Result]:
    """Every result directory among the paths and right below them.

    Raises:
        UsageError: there is no result, or one is damaged.
    """
    return [load(folder) for folder in result_folders(*paths)]
