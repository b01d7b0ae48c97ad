"""Failovers of contenders that must run on three nodes: how long clients hear nothing when a node dies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from brokers.contenders import cluster_contenders
from core.fault import FaultKind
from harness.analysis.failovers import Failover, failovers
from harness.analysis.next_commands import node_deaths
from harness.analysis.statistics import Interval
from harness.analysis.stored_results import Result
from harness.analysis.verdict import workload
from harness.choose.fault_queries import lost_too_much, parse_silence_s
from harness.choose.needs import Needs
from harness.choose.result_queries import span


def forms_of(name: str) -> list[str]:
    """The cluster forms of a single-process contender."""
    return [contender.name for contender in cluster_contenders() if contender.of == name]


def against_on_nodes(name: str, needs: Needs, results: Sequence[Result]) -> Iterator[str]:
    """Why a contender is ruled out on several nodes: each of its cluster forms is ruled out."""
    if needs.nodes == 1:
        return
    forms = forms_of(name)
    if not forms:
        yield f"fanbench knows no cluster of it, and {needs.nodes} nodes are required"
        return
    found = {form: against_form(form, needs, results) for form in forms}
    if all(found.values()):
        yield from (f"as {form} {said}" for form, reasons in found.items() for said in reasons)


def against_form(form: str, needs: Needs, results: Sequence[Result]) -> list[str]:
    """The reasons against one cluster: a silence that is too long, or forbidden losses."""
    limit_s = parse_silence_s(needs.max_silence)
    worst = _worst(form, results)
    said = []
    if limit_s is not None and worst is not None and worst.silence_s > limit_s:
        said.append(f"{_silent(worst)}, and {needs.max_silence} is the limit")
    for one, result in _measured(form, results):
        if one.outcome.runs and (lost := lost_too_much(one.outcome, result, needs)):
            said.append(lost)
    return said


def said_on_nodes(name: str, needs: Needs, results: Sequence[Result]) -> list[str]:
    """The measurements of its clusters, including ruled-out ones."""
    if needs.nodes == 1:
        return []
    said = []
    for form in forms_of(name):
        worst = _worst(form, results)
        if worst is None:
            continue
        against = against_form(form, needs, results)
        words = "; ".join(against) if against else ", ".join([_silent(worst), *_latency(form, needs, results)])
        said.append(f"not as {form}: {words}" if against else f"as {form} {words}")
    return said


def _latency(form: str, needs: Needs, results: Sequence[Result]) -> list[str]:
    """Its latency without a fault, from the newest comparison of the needed shape; empty without one."""
    newest = compared_in(form, needs, results)
    return [] if newest is None else [f"{span(newest, form)} on {workload(newest.comparison.scenario)}"]


def compared_in(form: str, needs: Needs, results: Sequence[Result]) -> Result | None:
    """The newest comparison of the needed shape with a valid run of a cluster; None without one."""
    ran = [
        one for one in results if one.compares and needs.has_shape_of(one.comparison.scenario) and one.ranked_of(form)
    ]
    return max(ran, key=lambda result: result.comparison.started_utc, default=None)


def node_deaths_not_measured(
    names: Sequence[str], needs: Needs, results: Sequence[Result]
) -> dict[str, list[FaultKind]]:
    """The node deaths without a valid run, by cluster; only clusters of these contenders that nothing rules out."""
    if needs.nodes == 1:
        return {}
    known = {cluster.name: cluster for cluster in cluster_contenders()}
    found = {}
    for form in (form for name in names for form in forms_of(name)):
        measured = {one.outcome.fault for one, _ in _measured(form, results)}
        missing = [kind for kind in node_deaths(known[form]) if kind not in measured]
        if missing and not against_form(form, needs, results):
            found[form] = missing
    return found


class FittingForm(NamedTuple):
    """A measured cluster that nothing rules out."""

    silence_s: float
    """The mean silence of its worst node fault."""
    name: str
    said: str
    """The silence with its fault and its source, as text."""


def fitting_forms(name: str, needs: Needs, results: Sequence[Result]) -> list[FittingForm]:
    """The measured clusters of a contender that nothing rules out, the one with the shortest worst silence first."""
    found = [
        FittingForm(worst.silence_s, form, _silent(worst))
        for form in forms_of(name)
        if (worst := _worst(form, results)) is not None and not against_form(form, needs, results)
    ]
    return sorted(found)


def fitting_form(name: str, needs: Needs, results: Sequence[Result]) -> FittingForm | None:
    """The first fitting cluster; None if there is none, or if one node is enough."""
    return next(iter(fitting_forms(name, needs, results)), None) if needs.nodes > 1 else None


class _Found(NamedTuple):
    silence_s: float
    failover: Failover
    result: Result
    of: int
    """The number of measured node faults, of which this is the worst."""


def _measured(form: str, results: Sequence[Result]) -> list[tuple[Failover, Result]]:
    """A cluster's node faults with a valid run, each from the newest result that has one."""
    newest: dict[FaultKind, tuple[Failover, Result]] = {}
    for result in sorted(results, key=lambda result: result.comparison.started_utc):
        for one in failovers(result.comparison):
            if one.outcome.contender == form and one.outcome.runs:
                newest[one.outcome.fault] = (one, result)
    return list(newest.values())


def _worst(form: str, results: Sequence[Result]) -> _Found | None:
    """The node fault with the longest mean silence."""
    measured = _measured(form, results)
    found = [
        _Found(_mean(one.silence_s), one, result, len(measured))
        for one, result in measured
        if one.silence_s is not None
    ]
    return max(found, key=lambda entry: entry.silence_s, default=None)


def _mean(value: Interval | float | None) -> float:
    assert value is not None
    return value.estimate if isinstance(value, Interval) else value


def _silent(found: _Found) -> str:
    silence_s, one, result, of = found
    runs = "one run" if len(one.outcome.runs) == 1 else f"mean of {len(one.outcome.runs)} runs"
    which = f"its worst of {of} measured faults of nodes" if of > 1 else "its only measured fault of nodes"
    return f"silent for {silence_s:.3g} s in {one.outcome.fault}, {which} ({runs}, {result.name})"
