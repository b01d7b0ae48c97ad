"""The report of stored comparisons: report.html and its charts, a table for the terminal, Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.chart_style import shortened
from bench.report_view import COLUMN_NOTE, HEADINGS, LEVEL, View, table_rows, view_of
from bench.store import load_results, store_verdict, write_text
from bench.verdict import verdict, workload
from core.errors import FanbenchError

if TYPE_CHECKING:
    from rich.table import Table

    from bench.model import Comparison

TEMPLATE = "report.html.j2"
_TERMINAL = {
    "contender": "contender",
    "place": "group",
    "p50": "p50",
    "p99": "p99",
    "p99_range": "its range",
    "broker_p99": "broker p99",
    "lost": "lost",
    "runs": "valid",
}


def write_report(folder: Path) -> Path:
    """Work out the verdict of a stored comparison, store it, and write charts/*.svg and report.html; returns the page.

    A verdict that the manifest has already, such as that of a capacity search, is kept.

    Raises:
        UsageError: it is not a result directory.
        FanbenchError: it cannot be written to.
    """
    comparison = load_results(folder)
    if not comparison.verdict:
        comparison = store_verdict(folder, verdict(comparison))
    view = view_of(comparison)
    page = folder / "report.html"
    try:
        (folder / "charts").mkdir(exist_ok=True)
        for chart in view.charts:
            write_text(folder / "charts" / f"{chart.name}.svg", chart.svg)
        write_text(page, render([view]))
    except OSError as error:
        raise FanbenchError(f"{error.filename}: {error.strerror}; make room or give write permission") from error
    return page


def render(views: Sequence[View]) -> str:
    """One self-contained page for one comparison or several."""
    import jinja2

    from bench.chart_style import THEMES, for_page

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals |= {"workload": workload, "for_page": for_page}
    page = environment.get_template(TEMPLATE)
    return page.render(views=views, themes=THEMES, headings=HEADINGS, note=COLUMN_NOTE, level=LEVEL)


def build_report(folders: Sequence[Path], markdown: bool) -> str:
    """The body of `fanbench report`: what to print.

    With `markdown` the comparisons as Markdown; else the path of the page that was written: `DIR/report.html`, or for
    several directories `report.html` beside the first.

    Raises:
        UsageError: one of them is not a result directory.
        FanbenchError: the page cannot be written.
    """
    if markdown:
        return "\n\n".join(as_markdown(load_results(folder)) for folder in folders)
    pages = [write_report(folder) for folder in folders]
    if len(pages) == 1:
        return str(pages[0])
    together = folders[0].resolve().parent / "report.html"
    try:
        write_text(together, render([view_of(load_results(folder)) for folder in folders]))
    except OSError as error:
        raise FanbenchError(f"{together}: {error.strerror}; give write permission") from error
    return str(together)


def as_markdown(comparison: Comparison) -> str:
    """The verdict and the table, for a pull request."""
    view = view_of(comparison, draw=False)
    answer, *rest = view.verdict
    names = [name for name in HEADINGS if name not in ("longest", "broker_mb", "server_mb")]
    lines = [f"**{_cell(answer)}**", "", *(f"- {_cell(sentence)}" for sentence in rest), ""]
    lines += [" | ".join(["", *(HEADINGS[name] for name in names), ""]).strip()]
    lines += ["|" + "|".join("---" if name in ("contender", "delivery") else "--:" for name in names) + "|"]
    lines += ["| " + " | ".join(_cell(getattr(row, name)) for name in names) + " |" for row in view.rows]
    lines += [""] + [
        f"- refused: {_cell(run.contender)}, round {run.round}: {_cell('; '.join(run.problems))}"
        for run in view.refused
    ]
    host = ", ".join(comparison.host.values())
    return "\n".join([*lines, f"{workload(comparison.scenario)} · {_cell(host)} · `{comparison.command}`"])


def _cell(text: str) -> str:
    for sign in "\\|<>*_`[]":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")


def terminal_table(comparison: Comparison) -> Table:
    """The table that ends `fanbench compare`: fits in 80 columns, contenders of one promise together."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=f"{comparison.name}: {workload(comparison.scenario)}, latency in ms",
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
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
