"""Shared code of the notebooks: loads the results, and shows the report's charts and tables as notebook output."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from core.paths import absolute_path
from core.resources import resource_folder
from core.scenario import Scenario
from harness.analysis.stored_results import Result, load_all, newest_folders
from harness.report.chart_style import to_svg
from harness.report.view import Table
from harness.results.load import load_manifest, result_folders

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = "FANBENCH_RESULTS"
"""Environment variable: a result directory, or a directory of them, to read instead of the newest ones."""


def folders() -> list[Path]:
    """Return the result directories for the notebooks: those in `FANBENCH_RESULTS`, otherwise the newest here.

    The newest are the complete ones in results/ if they include a comparison, otherwise those in results/reference.

    Raises:
        UsageError: there are none.
    """
    given = os.environ.get(RESULTS)
    reference = resource_folder("reference")
    return result_folders(absolute_path(given)) if given else newest_folders(reference.parent, reference)


def results() -> list[Result]:
    """Every result in the notebooks' directories."""
    return load_all(folders())


def results_folders(found: Sequence[Result]) -> list[Path]:
    """The directories of these results."""
    by_name = {folder.name: folder for folder in folders()}
    return [by_name[result.name] for result in found]


def newest(found: Sequence[Result]) -> Result:
    """The newest comparison, if possible one with a constant rate, which sessions do not have."""
    compared = [result for result in found if result.compares]
    return max(compared, key=lambda one: (_is_constant(one.comparison.scenario), one.comparison.started_utc))


def _is_constant(scenario: Scenario) -> bool:
    return scenario.schedule == "constant" and not scenario.topic_arrivals_hz


def results_shown() -> str:
    """The directories that are read, relative to the checkout, with their dates."""
    top = resource_folder("reference").parents[1]
    lines = []
    for folder in folders():
        shown = folder.resolve().relative_to(top) if folder.resolve().is_relative_to(top) else Path(folder.name)
        lines.append(f"{shown} ({load_manifest(folder).started_utc[:10]})")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as notebook output: the same SVG as in the report, in its light colours."""

    figure: Figure

    def _repr_html_(self) -> str:
        """Return an image that shrinks with its window: Jupyter gives an SVG output its full width on any screen."""
        data = b64encode(to_svg(self.figure).encode()).decode()
        return f'<img style="max-width:100%;height:auto" alt="chart" src="data:image/svg+xml;base64,{data}">'


@dataclass(frozen=True, slots=True)
class HtmlTable:
    """A table of the report as notebook output."""

    table: Table

    def _repr_html_(self) -> str:
        heads = "".join(f"<th>{escape(heading)}</th>" for heading in self.table.headings)
        rows = "".join(
            "<tr>" + "".join(f"<td>{_cell(cell.text, cell.small)}</td>" for cell in row) + "</tr>"
            for row in self.table.rows
        )
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(text: str, small: str) -> str:
    return escape(text) + (f"<br><small>{escape(small)}</small>" if small else "")


def show(figure: Figure | None, otherwise: str = "nothing to draw: it was not measured") -> Picture | str:
    """Return a figure to display, or a sentence if there is no figure."""
    return otherwise if figure is None else Picture(figure)


def bullet_list(sentences: Iterable[str]) -> str:
    """Print the sentences, one per line."""
    return "\n".join(f"- {sentence}" for sentence in sentences)
