"""The report of one capacity search or several."""

from __future__ import annotations

from collections.abc import Sequence

from core.contracts.capacity import Capacity, CapacityPoint
from harness.analysis.capacity_answers import harness_ended
from harness.analysis.judgement_words import ms
from harness.analysis.standings import standings
from harness.report.bar_charts import LOAD_UNITS, capacities
from harness.report.comparison import FANOUT
from harness.report.line_charts import knee, load_lines
from harness.report.view import Cell, Chart, Table, View, draw_charts, lines_chart, method
from harness.results.run_record import Comparison


def capacity_view(comparison: Comparison, search: Capacity, *, draw: bool = True) -> View:
    """The report of one search. Its runs have different loads, so they are shown individually and not pooled."""
    pictures = _pictures(comparison, search) if draw else []
    tables, how = [points_table(search)], method(comparison, [_how(search)])
    return View(comparison, list(comparison.verdict), pictures, tables, how, search=True)


def _how(search: Capacity) -> str:
    return (
        f"The search raised {LOAD_UNITS.get(search.vary, search.vary)} by doubling until {search.slo} or a check of the run "
        "broke. It then bisected between the largest load that held and the smallest that broke, and confirmed both in "
        "separate runs. Runs that the machine disturbed were not judged, and were repeated. Each run had its own replicas, "
        "generator and broker."
    )


def _pictures(comparison: Comparison, search: Capacity) -> list[Chart]:
    from harness.report.chart_style import to_svg

    figure = knee(search)
    text = f"p99 of every run of the search. A circle met {search.slo}; a cross broke it, or a check of the run."
    found = [Chart("knee", "Where it breaks", text, to_svg(figure))] if figure else []
    return found + draw_charts([FANOUT], standings(comparison))[0]


def points_table(search: Capacity) -> Table:
    """Every run of a search, ordered by load, with what broke it."""
    rows = [
        [
            Cell(f"{point.load:,}"),
            Cell("held", "good") if point.held else _broke(point),
            Cell(ms(point.p99_ms) if point.p99_ms else "–"),
            Cell(f"{point.lost:,}"),
            Cell(point.why or "–", "text"),
        ]
        for point in sorted(search.points, key=lambda point: (point.load, point.held))
    ]
    headings = [LOAD_UNITS.get(search.vary, search.vary), search.slo, "p99 ms", "lost", "what broke"]
    return Table("Every run of the search", headings, rows)


def _broke(point: CapacityPoint) -> Cell:
    if not point.judged:
        return Cell("not judged")
    return Cell("harness limit", "warn") if point.by_harness else Cell("broke", "bad")


def together(found: Sequence[tuple[str, Capacity]]) -> list[Chart]:
    """Two charts per kind of search, with all contenders: the largest load that held, and p99 by load.

    The titles distinguish searches of the same contender.
    """
    from harness.report.chart_style import to_svg

    charts: list[Chart] = []
    for vary, slo in dict.fromkeys((search.vary, search.slo) for _, search in found):
        alike = [(title, search) for title, search in found if (search.vary, search.slo) == (vary, slo)]
        names = [search.contender for _, search in alike]
        titles = [search.contender if names.count(search.contender) == 1 else title for title, search in alike]
        figure = capacities([search for _, search in alike], titles)
        if figure is not None:
            text = f"The largest load that met {slo} in every run; the cross is the next one, which did not."
            if any(harness_ended(search) for _, search in alike):
                text += " A triangle: there the harness reached its limit, not the contender."
            charts.append(
                Chart(f"capacity-{len(charts)}", f"How many {LOAD_UNITS[vary]} it holds", text, to_svg(figure))
            )
        curves = load_lines(dict(zip(titles, (search for _, search in alike), strict=True))) if len(alike) > 1 else None
        if curves is not None:
            text = "p99 of the runs at each load that no check refused: their median, and the band from the lowest to the highest."
            charts.append(lines_chart(f"capacity-{len(charts)}", f"Latency over {LOAD_UNITS[vary]}", text, curves))
    return charts
