"""The page of one contender: its measurements in all bundles, its trends, and the commands that repeat them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brokers.contender import Contender
from brokers.contenders import find_contender
from core.errors import UsageError
from harness.analysis.fault_evidence import base_name
from harness.analysis.fault_outcomes import outcomes
from harness.analysis.standings import standings
from harness.analysis.verdict import offered_workload
from harness.publish.site_results import SiteResult
from harness.publish.trends import TrendPoint, trend_charts
from harness.report.comparison import ContenderRow
from harness.report.faults import matrix
from harness.report.view import Cell, Chart, Table

UP = "../"
"""From a contender's page to the top of the site."""


@dataclass(frozen=True, slots=True)
class ContenderPage:
    """The content of the page."""

    name: str
    about: dict[str, str]
    tables: tuple[Table, ...]
    charts: tuple[Chart, ...]
    trend_note: str
    repeats: tuple[tuple[SiteResult, str], ...]
    """Each result and the command that repeats it."""


def contender_page(name: str, results: Sequence[SiteResult]) -> ContenderPage:
    """Make the page of a contender; `results` are all results of the site, the newest first."""
    own = [result for result in results if name in result.contenders]
    charts, note = trend_charts([point for result in own for point in _points(name, result)])
    tables = [_measured(name, own), _faults(name, own), _capacities(name, own)]
    return ContenderPage(
        name=name,
        about=_about(name),
        tables=tuple(table for table in tables if table.rows),
        charts=tuple(charts),
        trend_note=note,
        repeats=tuple((result, result.comparison.command) for result in own),
    )


def _about(name: str) -> dict[str, str]:
    known = _known(name)
    if known is None:
        return {"contender": "not known to the fanbench that made this site"}
    about = {
        "program": known.program or "none",
        "promise": known.delivery,
        "durability, as run": known.durability,
        "anti-pattern": known.anti_pattern,
    }
    return {title: text for title, text in about.items() if text}


def _known(name: str) -> Contender | None:
    try:
        return find_contender(name) if "://" not in name else None
    except UsageError:
        return None


def _is_of(name: str, shown: str) -> bool:
    """Whether a row of a report belongs to the contender: `valkey over ws` and `valkey#2` belong to valkey."""
    return base_name(shown.partition(" over ")[0]) == name


def _version(name: str, result: SiteResult) -> str:
    known = _known(name)
    return result.comparison.versions.get(known.program or "", "") if known else ""


def _points(name: str, result: SiteResult) -> list[TrendPoint]:
    if result.kind != "comparison":
        return []
    series = f"{offered_workload(result.comparison)} ({result.comparison.name}) on {result.machine}"
    return [
        TrendPoint(standing, series, result.date, _version(name, result))
        for standing in standings(result.comparison)
        if standing.runs and base_name(standing.contender) == name
    ]


def _head(result: SiteResult) -> Cell:
    return Cell(result.date, small=result.title, link=UP + result.page)


def _on(name: str, result: SiteResult) -> list[Cell]:
    return [
        Cell(offered_workload(result.comparison), "text"),
        Cell(result.machine, "text"),
        Cell(_version(name, result) or "–", small=f"fanbench {result.version}"),
    ]


def _measured(name: str, results: Sequence[SiteResult]) -> Table:
    rows = [
        [_head(result), *_on(name, result), *_figures(row)]
        for result in results
        for row in result.rows
        if _is_of(name, row.contender)
    ]
    headings = [
        "measured",
        "workload",
        "machine",
        "version",
        "p99 ms",
        "broker p99 ms",
        "lost",
        "broker CPU, s a million",
        "valid",
    ]
    note = "p99 over all valid runs, from the instant an event was due, and its range over the rounds."
    return Table("Measured", headings, rows, note)


def _figures(row: ContenderRow) -> list[Cell]:
    range_ = "" if row.p99_range == "–" else row.p99_range
    over = row.contender.partition(" over ")[2]
    return [
        Cell(row.p99, small=" ".join(text for text in (range_, f"over {over}" if over else "") if text)),
        Cell(row.broker_p99),
        Cell(row.lost, "bad" if row.lost not in ("0", "–") else ""),
        Cell(row.broker_cpu),
        Cell(row.runs),
    ]


def _faults(name: str, results: Sequence[SiteResult]) -> Table:
    rows = []
    for result in results:
        found = [one for one in outcomes(result.comparison.runs) if base_name(one.contender) == name]
        if found:
            table = matrix(found)
            cells = zip(table.headings[1:], table.rows[0][1:], strict=True)
            rows += [[_head(result), Cell(kind, "text"), cell, *_on(name, result)] for kind, cell in cells]
    return Table("In faults", ["measured", "fault", "what was lost", "workload", "machine", "version"], rows)


def _capacities(name: str, results: Sequence[SiteResult]) -> Table:
    rows = [
        [
            _head(result),
            Cell(f"{search.held:,} {search.vary}" if search.held is not None else "none held"),
            Cell(search.slo, "text"),
            *_on(name, result),
        ]
        for result in results
        if (search := result.search) is not None and base_name(search.contender) == name
    ]
    return Table("Capacity", ["measured", "held", "objective", "workload it began at", "machine", "version"], rows)
