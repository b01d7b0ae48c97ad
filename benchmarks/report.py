"""Tables for people and JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.figures import BarVerdict, Figure, FigureTable
from benchmarks.rivals import program_versions
from harness.runner.host import describe_host, library_versions

STYLES: dict[BarVerdict, str] = {"met": "green", "NOT MET": "bold red", "not judged": "yellow"}


def _text(figure: Figure | None) -> str:
    if figure is None:
        return ""
    return figure.text(0 if figure.median >= 100 else 2)


def print_table(table: FigureTable, console: Console, judged: bool) -> None:
    """One part, with its bars if it is judged."""
    columns = list(dict.fromkeys(name for row in table.rows for name in row.figures))
    console.print(table.title, style="bold", highlight=False, markup=False)
    shown = RichTable(box=None, pad_edge=False)
    shown.add_column("", no_wrap=True)
    for column in columns:
        shown.add_column(column, justify="right")
    for row in table.rows:
        shown.add_row(row.name, *(_text(row.figures.get(column)) for column in columns))
    if table.rows:
        console.print(shown)
    for note in table.notes:
        console.print(f"  {note}", highlight=False, markup=False)
    for bar in table.bars if judged else ():
        console.print(f"  {bar.text()}", style=STYLES[bar.verdict], highlight=False, markup=False)
    console.print()


def write_json(tables: Sequence[FigureTable], failed: Mapping[str, str], path: Path, quick: bool) -> None:
    """All parts, the reasons of those that failed, and the machine."""
    found = {
        "version": 2,
        "written_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "host": describe_host(),
        "libraries": library_versions(),
        "programs": program_versions(),
        "failed": failed,
        "tables": [table.to_json() for table in tables],
    }
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
