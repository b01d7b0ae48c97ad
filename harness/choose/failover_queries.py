"""What stored results say of a contender that has to run on three nodes: how long its clients hear nothing when one dies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from brokers.contenders import cluster_contenders
from core.errors import UsageError
from harness.analysis.failovers import Failover, failovers
from harness.analysis.statistics import Interval
from harness.analysis.stored_results import Result
from harness.choose.needs import Needs

_SECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s)")


def parse_silence_s(text: str) -> float | None:
    """`5s` or `800ms` in seconds; None for an empty text.

    Raises:
        UsageError: it is neither.
    """
    if not text:
        return None
    match = _SECONDS.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"max_silence = {text!r}: no time; write 5s or 800ms")
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


def forms_of(name: str) -> list[str]:
    """The clusters that a contender of one process may become."""
    return [contender.name for contender in cluster_contenders() if contender.of == name]


def against_on_nodes(name: str, needs: Needs, results: Sequence[Result]) -> Iterator[str]:
    """Why a contender is ruled out where it has to run on several nodes."""
    if needs.nodes == 1:
        return
    forms = forms_of(name)
    if not forms:
        yield f"fanbench knows no cluster of it, and {needs.nodes} nodes are asked for"
        return
    limit_s = parse_silence_s(needs.max_silence)
    if limit_s is None:
        return
    worst = {form: _worst(form, results) for form in forms}
    if all(found is not None and found[0] > limit_s for found in worst.values()):
        for form, found in worst.items():
            assert found is not None
            yield f"{_said(form, found)}, and {needs.max_silence} is the limit"


def doubts_on_nodes(name: str, needs: Needs, results: Sequence[Result]) -> list[str]:
    """What was measured of its clusters, and what was not."""
    if needs.nodes == 1:
        return []
    limit_s = parse_silence_s(needs.max_silence)
    said = []
    for form in forms_of(name):
        found = _worst(form, results)
        if found is None:
            command = f"fanbench faults {form} --rounds 5"
            said.append(f"how long its clients hear nothing as {form} was not measured: {command}")
        elif limit_s is not None and found[0] > limit_s:
            said.append(f"not as {form}: {_said(form, found)}")
        else:
            said.append(_said(form, found))
    return said


Found = tuple[float, Failover, Result]


def _worst(form: str, results: Sequence[Result]) -> Found | None:
    """The fault of nodes with the longest mean silence, in the newest result that has any."""
    newest = sorted(results, key=lambda result: result.comparison.started_utc, reverse=True)
    for result in newest:
        found = [
            (_mean(one.silence_s), one, result)
            for one in failovers(result.comparison)
            if one.outcome.contender == form and one.silence_s is not None
        ]
        if found:
            return max(found, key=lambda entry: entry[0])
    return None


def _mean(value: Interval | float | None) -> float:
    assert value is not None
    return value.estimate if isinstance(value, Interval) else value


def _said(form: str, found: Found) -> str:
    silence_s, one, result = found
    runs = "one run" if len(one.outcome.runs) == 1 else f"mean of {len(one.outcome.runs)} runs"
    return f"as {form} silent for {silence_s:.3g} s in {one.outcome.fault}, its worst fault of nodes ({runs}, {result.name})"
