"""Documents as rows of a CSV file: a column for each field. An empty cell means not measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

from pydantic import BeforeValidator

from core.contracts.codec import D, validate

Cell = str | int | float | None


def _empty_is_none(cell: object) -> object:
    return None if cell == "" else cell


Measured = Annotated[float | None, BeforeValidator(_empty_is_none)]
Counted = Annotated[int | None, BeforeValidator(_empty_is_none)]


def write_table(columns: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> str:
    """The text of a file with these columns; a row without one of them has an empty cell there."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _written(cell) for name, cell in row.items()} for row in rows)
    return text.getvalue()


def _written(cell: Cell) -> Cell:
    return str(cell).lower() if isinstance(cell, bool) else cell


def read_table(text: str) -> list[dict[str, str]]:
    """The cells of each row by column; a short row lacks the last ones."""
    rows = csv.DictReader(io.StringIO(text))
    return [{name: cell for name, cell in row.items() if name is not None and cell is not None} for row in rows]


def from_cells(kind: type[D], cells: Mapping[str, str], where: str) -> D:
    """Read the document whose fields are among the cells; ignore other cells.

    Raises:
        DocumentError: a column is missing, or a cell has the wrong type.
    """
    return validate(kind, {name: cells[name] for name in kind.model_fields if name in cells}, where)
