"""Failovers of a contender that must run on three nodes: how long its clients hear nothing when a node dies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from brokers.contenders import cluster_contenders
from harness.analysis.failovers import Failover, failovers
from harness.analysis.statistics import Interval
from harness.analysis.stored_results import Result
from harness.choose.fault_queries import lost_too_much, parse_silence_s
from harness.choose.needs import Needs


def forms_of(name: str) -> list[str]:
    """The cluster forms of a single-process contender."""
    return [contender.name for contender in cluster_contenders() if contender.of == name]


def against_on_nodes(name: str, needs: Needs, results: Sequence[Result]) -> Iterator[str]:
    """Why a contender is ruled out on several nodes: each of its cluster forms is."""
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
    """The reasons against one cluster: a silence that is too long, and forbidden losses."""
    limit_s = parse_silence_s(needs.max_silence)
    worst = _worst(form, results)
    said = []
    if limit_s is not None and worst is not None and worst[0] > limit_s:
        said.append(f"{_silent(worst)}, and {needs.max_silence} is the limit")
    for one, result in _newest(form, results):
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
        if worst is not None:
            against = against_form(form, needs, results)
            said.append(f"not as {form}: {'; '.join(against)}" if against else f"as {form} {_silent(worst)}")
    return said


def forms_not_measured(names: Sequence[str], needs: Needs, results: Sequence[Result]) -> list[str]:
    """The clusters of these contenders without a valid run of a fault of nodes."""
    if needs.nodes == 1:
        return []
    return [form for name in names for form in forms_of(name) if _worst(form, results) is None]


class FittingForm(NamedTuple):
    """A cluster that nothing speaks against."""

    silence_s: float
    """Of its worst fault of nodes."""
    name: str
    said: str
    """The silence with its fault and its source."""


def fitting_form(name: str, needs: Needs, results: Sequence[Result]) -> FittingForm | None:
    """The measured and suitable cluster of a contender with the shortest worst silence."""
    found = [
        FittingForm(worst[0], form, _silent(worst))
        for form in forms_of(name)
        if (worst := _worst(form, results)) is not None and not against_form(form, needs, results)
    ]
    return min(found, default=None)


Found = tuple[float, Failover, Result]


def _newest(form: str, results: Sequence[Result]) -> list[tuple[Failover, Result]]:
    """The faults of nodes of a cluster, in the newest result that has any."""
    for result in sorted(results, key=lambda result: result.comparison.started_utc, reverse=True):
        found = [one for one in failovers(result.comparison) if one.outcome.contender == form and one.outcome.runs]
        if found:
            return [(one, result) for one in found]
    return []


def _worst(form: str, results: Sequence[Result]) -> Found | None:
    """The fault of nodes with the longest mean silence."""
    found = [(_mean(one.silence_s), one, result) for one, result in _newest(form, results) if one.silence_s is not None]
    return max(found, key=lambda entry: entry[0], default=None)


def _mean(value: Interval | float | None) -> float:
    assert value is not None
    return value.estimate if isinstance(value, Interval) else value


def _silent(found: Found) -> str:
    silence_s, one, result = found
    runs = "one run" if len(one.outcome.runs) == 1 else f"mean of {len(one.outcome.runs)} runs"
    return f"silent for {silence_s:.3g} s in {one.outcome.fault}, its worst fault of nodes ({runs}, {result.name})"
