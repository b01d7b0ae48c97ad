"""The commands that fill gaps in the results, with their durations in minutes. A command names only what is missing.

tests/harness/choose/test_needs_of_five.py parses each with the command line itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from brokers.contender import Contender
from brokers.contenders import all_contenders, cluster_contenders
from brokers.limits import no_node_to_break
from core.fault import KINDS, LANES, WHAT, Fault, FaultKind
from core.scenario import Scenario
from harness.analysis.statistics import MIN_ROUNDS

CAPACITY_S = 240.0
"""The default time limit of `fanbench capacity`."""
WITHIN_S = 360.0
"""The default time limit of `fanbench compare`, which does MIN_ROUNDS rounds in any case."""
NODE_DEATHS: tuple[FaultKind, ...] = ("leader-kill", "connected-node-kill")
"""The most important faults of a cluster; the others would double the time."""
_FAULTS = Scenario(name="faults", clients=200, rate_hz=50, warmup_s=1, duration_s=8, rounds=1)
"""The timing of scenarios/faults.toml, under which `fanbench faults` runs."""
_AT_S = 2.0
"""The default of `--at`: when a fault begins."""


@dataclass(frozen=True, slots=True)
class NextCommand:
    """A command line, what it would show, and its approximate duration."""

    shows: str
    command: str
    minutes: int

    def __str__(self) -> str:
        return f"`{self.command}` (about {self.minutes} min)"


def faults_command(names: Sequence[str]) -> NextCommand | None:
    """Run every fault of brokers, links, replicas and clients for these contenders; None if no fault applies."""
    known = {contender.name: contender for contender in all_contenders()}
    contenders = [known[name] for name in names if name in known and known[name].program is not None]
    if not contenders:
        return None
    kinds = [kind for kind in KINDS if not WHAT[kind].of_nodes]
    seconds = len(contenders) * sum(_FAULTS.broken_run_s(Fault(kind=kind, at_s=_AT_S)) for kind in kinds)
    return NextCommand("faults", _line("faults", [one.name for one in contenders]), _minutes(seconds))


def failovers_command(names: Sequence[str]) -> NextCommand | None:
    """Run every fault of nodes for these contenders' clusters; None if they have none."""
    forms = [cluster for cluster in cluster_contenders() if cluster.of in names]
    return failovers_of([cluster.name for cluster in forms])


def failovers_of(
    clusters: Sequence[str], kinds: Sequence[FaultKind] = NODE_DEATHS, rounds: int = 5
) -> NextCommand | None:
    """These deaths of a node for these clusters, with enough rounds for an interval; None without clusters."""
    known = {cluster.name: cluster for cluster in cluster_contenders()}
    found = [known[name] for name in clusters if name in known]
    if not found:
        return None
    seconds = rounds * sum(
        _FAULTS.broken_run_s(Fault(kind=kind, at_s=_AT_S))
        for one in found
        for kind in node_deaths(one)
        if kind in kinds
    )
    words = [word for kind in kinds for word in ("--fault", kind)]
    line = " ".join([_line("faults", [one.name for one in found]), *words, f"--rounds {rounds}"])
    lanes = min(LANES, len({one.program for one in found}))
    return NextCommand("failovers", line, _minutes(seconds / lanes))


def node_deaths(cluster: Contender) -> list[FaultKind]:
    """The NODE_DEATHS that are possible for a cluster: some have no leader, in some every client is at the leader."""
    return [kind for kind in NODE_DEATHS if no_node_to_break(cluster, kind) is None]


def capacity_command(name: str, options: Mapping[str, object]) -> NextCommand:
    """Search for the largest load at which a contender meets the objective."""
    return NextCommand("capacity", _line("capacity", [name], options), _minutes(CAPACITY_S))


def compare_command(names: Sequence[str], options: Mapping[str, object], scenario: Scenario) -> NextCommand | None:
    """A comparison of these contenders at a load; `scenario` has its timing. None without a contender that can be named."""
    known = {one.name for one in (*all_contenders(), *cluster_contenders())}
    found = [name for name in names if name.partition("?")[0] in known]
    if not found:
        return None
    seconds = max(WITHIN_S, MIN_ROUNDS * len(found) * scenario.run_s)
    return NextCommand("comparison", _line("compare", found, options), _minutes(seconds))


def _line(command: str, names: Sequence[str], options: Mapping[str, object] | None = None) -> str:
    words = ["fanbench", command, *names]
    for option, value in (options or {}).items():
        words += [f"--{option}", str(value)]
    return shlex.join(words)


def _minutes(seconds: float) -> int:
    return max(1, ceil(seconds / 60))
