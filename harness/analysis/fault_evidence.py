"""What faults did to the contenders of a comparison: in its own result directory, or in others from the same machine.

A comparison breaks nothing, but failures often decide the choice. So a report and `fanbench choose` add the faults: each
contender and kind of fault, from the newest result directory with a valid run of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from brokers.contenders import cluster_contenders
from core.errors import UsageError
from core.fault import KINDS, WHAT, FaultKind
from core.plain_text import plain
from harness.analysis.fault_outcomes import FaultOutcome, outcomes
from harness.analysis.stored_results import Result
from harness.results.load import load_manifest, load_results
from harness.results.run_record import Comparison

ONE_NODE_DIES: tuple[FaultKind, ...] = ("leader-kill", "follower-kill", "connected-node-kill")
"""The deaths of a single node; the other faults of nodes cut links, or end all nodes, one after the other or at once."""
SAME_MACHINE = ("cpu", "cores", "memory")
"""The host fields that two results from one machine have in common; the kernel may be newer."""


@dataclass(frozen=True, slots=True)
class FoundFault:
    """The effect of one fault on one contender, and its result directory."""

    outcome: FaultOutcome
    result: str

    @property
    def lost(self) -> tuple[int, int]:
        """The lowest and highest losses of its runs."""
        counts = [run.lost for run in self.outcome.runs]
        return min(counts), max(counts)

    @property
    def silence_s(self) -> tuple[float, float] | None:
        """Any client's longest silence: the lowest and highest over the runs."""
        values = self.outcome.values("silence_ms")
        return (min(values) / 1000, max(values) / 1000) if values else None


@dataclass(frozen=True, slots=True)
class FaultEvidence:
    """The newest valid runs, by contender and kind of fault."""

    cells: Mapping[tuple[str, FaultKind], FoundFault] = field(default_factory=dict)

    def of(self, contender: str, kind: FaultKind) -> FoundFault | None:
        """The effect of the fault on the contender; None without a valid run."""
        return self.cells.get((base_name(contender), kind))

    def kinds(self, contenders: Sequence[str]) -> list[FaultKind]:
        """The faults of brokers, links, replicas and clients that were measured with any of the contenders."""
        names = {base_name(contender) for contender in contenders}
        found = {kind for name, kind in self.cells if name in names and not WHAT[kind].of_nodes}
        return [kind for kind in KINDS if kind in found]

    def failovers(self, contender: str) -> dict[str, list[FoundFault]]:
        """The measured deaths of a node of each cluster form of the contender, by the cluster's name."""
        forms = [cluster.name for cluster in cluster_contenders() if cluster.of == base_name(contender)]
        found = {
            form: [cell for (name, kind), cell in self.cells.items() if name == form and kind in ONE_NODE_DIES]
            for form in forms
        }
        return {form: cells for form, cells in found.items() if cells}

    def lost_by(self, contender: str) -> list[FoundFault]:
        """The faults in which the contender lost something, without its clusters."""
        name = base_name(contender)
        return [cell for (of, _), cell in self.cells.items() if of == name and cell.lost[1]]


NO_EVIDENCE = FaultEvidence()


def base_name(contender: str) -> str:
    """The name without the suffix of a contender that is compared with itself."""
    return contender.partition("#")[0]


def evidence_of(results: Sequence[Result]) -> FaultEvidence:
    """The evidence of several result directories: for each contender and fault the newest with a valid run."""
    cells: dict[tuple[str, FaultKind], FoundFault] = {}
    for result in sorted(results, key=lambda result: result.comparison.started_utc):
        runs = [run for run in result.comparison.runs if run.transport == "sse"]
        for outcome in outcomes(runs):
            if outcome.runs:
                cells[base_name(outcome.contender), outcome.fault] = FoundFault(outcome, result.name)
    return FaultEvidence(cells)


def same_machine(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether two results come from the same machine, according to both manifests."""
    return all(one[key] == other[key] for key in SAME_MACHINE if key in one and key in other)


def faults_beside(folder: Path, comparison: Comparison) -> FaultEvidence:
    """Return the evidence in a comparison's own directory `folder` and in the complete results of faults next to it.

    Next to it are the other directories in the same parent from the same machine. Unreadable ones are skipped, because
    nobody asked for them.
    """
    return evidence_among(plain(folder.name), comparison, results_of_faults(folder.resolve().parent, folder.resolve()))


def evidence_among(name: str, comparison: Comparison, beside: Sequence[Result]) -> FaultEvidence:
    """Return the evidence in a comparison, called `name`, and in the results of faults beside it from its machine."""
    others = [one for one in beside if one.name != name and same_machine(one.comparison.host, comparison.host)]
    return evidence_of([Result(name, comparison, False), *others])


def results_of_faults(parent: Path, without: Path | None = None) -> list[Result]:
    """Return the complete results of faults directly in a directory.

    Unreadable ones are skipped, because nobody asked for them.
    """
    found = []
    for path in sorted(parent.glob("*/manifest.json")):
        if path.parent == without:
            continue
        try:
            manifest = load_manifest(path.parent)
            every = bool(manifest.scenario.faults) or all("faults" in entry.scenario for entry in manifest.order)
            if every and manifest.order and manifest.complete:
                found.append(Result(plain(path.parent.name), load_results(path.parent), False))
        except UsageError:
            continue
    return found
