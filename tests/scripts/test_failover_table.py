"""README's failover table agrees with the reference, recomputed from summary.csv."""

import csv
import re

from harness.results.load import load_results
from scripts.failover_table import FOLDERS, ROOT, deaths, written


def test_readme_agrees_with_the_reference():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert written(readme, map(load_results, FOLDERS)) == readme


def test_the_figures_are_those_of_summary_csv():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = []
    for folder in FOLDERS:
        with (folder / "summary.csv").open(encoding="utf-8") as file:
            rows += csv.DictReader(file)
    runs = [(row["contender"], row["fault"], row["valid"]) for row in rows]
    shown = deaths(map(load_results, FOLDERS))
    assert shown
    for one in shown:
        name, fault = one.outcome.contender, one.outcome.fault
        of_cell = [row for row, run in zip(rows, runs, strict=True) if run == (name, fault, "true")]
        line = next(line for line in readme.splitlines() if re.match(rf"\| `{name}`( \(|\s\|)", line))
        cells = [cell.strip() for cell in line.split("|")[3:6]]
        mean_s = sum(float(row["silence_ms"]) for row in of_cell) / len(of_cell) / 1000
        assert abs(float(cells[0].split()[0]) - mean_s) <= 0.006 * mean_s
        lost, expected = (sum(int(row[column]) for row in of_cell) for column in ("lost", "expected"))
        assert cells[1] == (f"{lost:,} of {expected:,}" if lost else "0")
        assert cells[2] == f"{sum(float(row['lost_though_published']) for row in of_cell):,.0f}"
