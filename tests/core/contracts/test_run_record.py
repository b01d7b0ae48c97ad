"""The rows of a result directory's CSV files: the order of columns, empty cells, and the error for an invalid cell."""

import pytest

from core.contracts.codec import DocumentError
from core.contracts.run_record import (
    FURTHER_COLUMNS,
    MAIN_COLUMNS,
    RunRecord,
    histograms_text,
    read_summary,
    read_timeline,
    summary_text,
    timeline_text,
)
from harness.results.run_files import as_stored, record_of
from tests.harness import made_up


def record(contender: str = "valkey", number: int = 1, **fields: object) -> RunRecord:
    return record_of(as_stored(made_up.run(contender, **fields)), number)  # type: ignore[arg-type]


RECORDS = [
    record("memory", 1, figures={"silence_ms": 0.1 + 0.2}),
    record("valkey", 2, figures={"before_p99_ms": 3.0}, problems=("late", 'a "b", c'), lost={"gap": 3}),
]


def test_rows_are_read_back_as_written() -> None:
    text = summary_text(RECORDS)
    assert read_summary(text, "summary.csv") == [one.row for one in RECORDS]
    assert text.splitlines()[0].split(",") == [*MAIN_COLUMNS, *FURTHER_COLUMNS, "before_p99_ms", "silence_ms"]
    assert read_timeline(timeline_text(RECORDS), "timeline.csv") == [row for one in RECORDS for row in one.seconds]


def test_an_unmeasured_figure_is_an_empty_cell_and_valid_is_a_word() -> None:
    cells = dict(zip(*(line.split(",") for line in summary_text(RECORDS[:1]).splitlines()), strict=True))
    assert (cells["broker_cpu_s"], cells["broker_core"], cells["valid"], cells["rate_hz"]) == ("", "", "true", "20.0")


def changed(text: str, column: str, cell: str | None) -> str:
    """The text with the column's cell in the last row replaced; None: without the column."""
    lines = [line.split(",") for line in text.splitlines()]
    at = lines[0].index(column)
    if cell is None:
        return "\n".join(",".join(line[:at] + line[at + 1 :]) for line in lines)
    lines[-1][at] = cell
    return "\n".join(map(",".join, lines))


@pytest.mark.parametrize("column", [*MAIN_COLUMNS, *FURTHER_COLUMNS])
def test_each_missing_column_is_named(column: str) -> None:
    with pytest.raises(DocumentError) as raised:
        read_summary(changed(summary_text(RECORDS[:1]), column, None), "DIR/summary.csv")
    assert str(raised.value) == f"DIR/summary.csv: row 1: field '{column}' is missing; measure again"


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("delivered", "many", "row 1: field 'delivered' is wrong: 'many'"),
        ("p99_ms", "fast", "row 1: field 'p99_ms' is wrong: 'fast'"),
        ("lost_gap", "1.5", "row 1: field 'lost_gap' is wrong: '1.5'"),
        ("valid", "perhaps", "row 1: field 'valid' is wrong: 'perhaps'"),
        ("silence_ms", "long", "row 1: field 'figures.silence_ms' is wrong: 'long'"),
        ("run", "", "row 1: field 'run' is wrong: ''"),
    ],
)
def test_a_cell_that_does_not_fit_its_column_is_named(column: str, cell: str, said: str) -> None:
    with pytest.raises(DocumentError, match="measure again") as raised:
        read_summary(changed(summary_text(RECORDS[:1]), column, cell), "summary.csv")
    assert said in str(raised.value)


def test_a_wrong_cell_in_the_timeline_is_named() -> None:
    text = timeline_text(RECORDS)
    with pytest.raises(DocumentError, match=r"timeline.csv: row 10: field 'max_ms' is wrong: 'x'"):
        read_timeline(changed(text, "max_ms", "x"), "timeline.csv")
    with pytest.raises(DocumentError, match=r"timeline.csv: row 1: field 't_s' is missing"):
        read_timeline(changed(text, "t_s", None), "timeline.csv")


def test_histograms_of_each_run_have_its_name() -> None:
    assert '"run": 2,\n   "contender": "valkey"' in histograms_text(RECORDS)
