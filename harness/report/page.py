"""The report of comparisons: report.html and its charts, a table for the terminal, Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.contracts.capacity import Capacity
from core.errors import FanbenchError
from harness.analysis.fault_evidence import NO_EVIDENCE, FaultEvidence, faults_beside
from harness.analysis.fault_outcomes import is_about_faults
from harness.analysis.verdict import offered_workload
from harness.report import view
from harness.report.capacity import capacity_view, together
from harness.report.chart_style import shortened
from harness.report.comparison import comparison_view, table_rows
from harness.report.faults import faults_view
from harness.report.html import SCRIPT, environment, read_script
from harness.report.view import Chart, View
from harness.results.load import load_capacity, load_results, result_folders
from harness.results.run_record import Comparison
from harness.results.store import store_verdict, write_text

if TYPE_CHECKING:
    from rich.table import Table

TEMPLATE = "report.html.j2"
_TERMINAL = {
    "contender": "contender",
    "place": "group",
    "p50": "p50",
    "p99": "p99",
    "p99_range": "p99 range",
    "broker_p99": "broker\np99",
    "delivered": "delivered\n/expected",
    "lost": "lost",
    "runs": "valid",
}


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """The page, and the comparison with its verdict."""

    page: Path
    comparison: Comparison


def write_report(folder: Path, comparison: Comparison, search: Capacity | None = None) -> WrittenReport:
    """Derive the verdict of a comparison, store it in its directory, and write charts/*.svg and report.html there.

    Raises:
        FanbenchError: the directory is not writable.
    """
    view = view_of(comparison, search, faults_beside(folder, comparison))
    page = folder / "report.html"
    try:
        said = store_verdict(folder, comparison, view.verdict)
        (folder / "charts").mkdir(exist_ok=True)
        for chart in view.charts:
            write_text(folder / "charts" / f"{chart.name}.svg", chart.svg)
        write_text(page, render([view]))
    except OSError as error:
        raise FanbenchError(f"{error.filename}: {error.strerror}; make room or give write permission") from error
    return WrittenReport(page, said)


def view_of(
    comparison: Comparison, search: Capacity | None = None, evidence: FaultEvidence = NO_EVIDENCE, *, draw: bool = True
) -> View:
    """Make the view of a comparison, of faults, or of a capacity search with its findings.

    `evidence` has the effects of faults on a comparison's contenders.

    It derives the verdict again, except for a search, whose findings contain it.
    """
    if search is not None:
        return capacity_view(comparison, search, draw=draw)
    comparison = replace(comparison, verdict=())
    if is_about_faults(comparison):
        return faults_view(comparison, draw=draw)
    return comparison_view(comparison, evidence, draw=draw)


def render(
    views: Sequence[View],
    shared: Sequence[Chart] = (),
    titles: Sequence[str] = (),
    links: Mapping[str, str] | None = None,
) -> str:
    """Render one self-contained page for one or more result directories, by title; `shared` charts cover all of them.

    `links` lead to the other pages of a site.
    """
    template = environment().get_template(TEMPLATE)
    return template.render(
        titled=list(zip(titles or [view.comparison.name for view in views], views, strict=True)),
        shared=shared,
        script=read_script(SCRIPT),
        links=links or {},
    )


def titles_of(folders: Sequence[Path], views: Sequence[View]) -> list[str]:
    """Return a unique title for each directory: the comparison's name, the directory's if that repeats, and the machine."""
    names = [view.comparison.name for view in views]
    own = [name if names.count(name) == 1 else folder.name for name, folder in zip(names, folders, strict=True)]
    machines = [view.comparison.host.get("cpu", "") for view in views]
    if len(set(machines)) > 1:
        own = [f"{name}, {machine}" if machine else name for name, machine in zip(own, machines, strict=True)]
    return [
        name if own.count(name) == 1 else f"{folder.resolve().parent.name}/{folder.name}"
        for name, folder in zip(own, folders, strict=True)
    ]


def build_report(folders: Sequence[Path], markdown: bool) -> str:
    """Do the work of `fanbench report` and return the text to print.

    A directory of result directories stands for all of them. With `markdown`, the text has their verdicts and tables.
    Otherwise it is the path of the written page: `DIR/report.html`, or for several directories `report.html` next to
    the first. It writes nothing inside them in that case, because shared results are often read-only.

    Raises:
        UsageError: one of them is not a result directory.
        FanbenchError: the page cannot be written.
    """
    found = result_folders(*folders)
    if markdown:
        return "\n\n".join(map(as_markdown, _stored_views(found, draw=False)[0]))
    if len(found) == 1:
        return str(write_report(found[0], load_results(found[0]), load_capacity(found[0])).page)
    views, searches = _stored_views(found, draw=True)
    titles = titles_of(found, views)
    named = [(title, search) for title, search in zip(titles, searches, strict=True) if search]
    page = found[0].resolve().parent / "report.html"
    try:
        write_text(page, render(views, together(named), titles))
    except OSError as error:
        raise FanbenchError(f"{page}: {error.strerror}; give write permission") from error
    return str(page)


def _stored_views(folders: Sequence[Path], *, draw: bool) -> tuple[list[View], list[Capacity | None]]:
    """Return the view of each directory, with the faults stored next to it and the findings of a search."""
    views, searches = [], []
    for folder in folders:
        comparison, search = load_results(folder), load_capacity(folder)
        views.append(view_of(comparison, search, faults_beside(folder, comparison), draw=draw))
        searches.append(search)
    return views, searches


def as_markdown(view: View) -> str:
    """The verdict and the tables, for a pull request."""
    comparison = view.comparison
    answer, *rest = view.verdict or ["No verdict."]
    lines = [f"**{_cell(answer)}**", "", *(f"- {_cell(sentence)}" for sentence in rest)]
    for table in [*([view.decision] if view.decision else []), *view.tables]:
        lines += ["", f"#### {table.title}", "", "| " + " | ".join(map(_cell, table.headings)) + " |"]
        lines += ["|" + "|".join(["---", *("--:" for _ in table.headings[1:])]) + "|"]
        for row in table.rows:
            texts = [f"{_cell(cell.text)}<br>{_cell(cell.small)}" if cell.small else _cell(cell.text) for cell in row]
            lines.append("| " + " | ".join(texts) + " |")
    # A bare number needs a name: 2 cores, Python 3.11.2.
    named = (
        f"{name} {value}" if value.replace(".", "").isdigit() else value for name, value in comparison.host.items()
    )
    host = _cell(", ".join(named))
    command = comparison.command.replace("`", "'")
    return "\n".join([*lines, "", f"{offered_workload(comparison)} · {host} · `{command}`"])


def _cell(text: str) -> str:
    for sign in "\\|<>*_`[]":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")


def terminal_grid(table: view.Table) -> Table:
    """Convert a table of the report for the terminal."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=table.title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in table.headings:
        grid.add_column(heading, max_width=36)
    for row in table.rows:
        grid.add_row(*(Text(cell.text) for cell in row))
    return grid


def terminal_table(comparison: Comparison) -> Table:
    """The table that `fanbench compare` prints at the end: fits in 80 columns, grouped by promise."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=f"{comparison.name}: {offered_workload(comparison)}, latency in ms",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
    )
    for name, heading in _TERMINAL.items():
        table.add_column(heading, justify="left" if name == "contender" else "right", no_wrap=True)
    promise = ""
    for row in table_rows(comparison):
        if row.delivery != promise and row.place != "floor":
            promise = row.delivery
            table.add_row(Text(promise, style="dim italic"))
        style = "red" if row.runs.startswith("0/") else ""
        cells = [shortened(getattr(row, name)) for name in _TERMINAL]
        table.add_row(*(Text(cell, style=style) for cell in cells))
    return table
