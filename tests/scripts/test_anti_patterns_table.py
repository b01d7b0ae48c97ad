"""The table of docs/anti-patterns.md contains only valid runs, and its figures are those of the runs."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import pytest

from core.errors import UsageError
from harness.results.run_record import Comparison, Run
from scripts.anti_patterns_table import BEGIN, CONTENDERS, END, PAGE, table, written
from tests.harness import made_up


def comparison(refused: str = "") -> Comparison:
    runs: list[Run] = []
    for round in range(1, 4):
        for place, name in enumerate(CONTENDERS):
            run = made_up.run(name, round, problems=("machine busy",) if name == refused else ())
            figures = {"broker_connections": 5.0 + 100 * place, "connection_kb": 7.5 * round}
            runs.append(replace(run, figures=run.figures | figures))
    return made_up.comparison(runs)


def test_a_row_has_the_medians_of_the_valid_runs() -> None:
    found = comparison()
    text = table(found)
    assert (
        "50 clients on 2 replicas at 20 events/s, 200 bytes, on an example CPU, 2025-11-24. Medians of 3 valid runs"
        in text
    )
    rows = {
        line.split("`")[1]: [cell.strip() for cell in line.split("|")[2:-1]]
        for line in text.splitlines()
        if "`" in line
    }
    assert list(rows) == list(CONTENDERS)
    server_us = median(4.2 / run.delivered * 1e6 for run in found.runs if run.contender == "sse-starlette")
    assert rows["sse-starlette"][0] == "205"
    assert float(rows["sse-starlette"][1].replace(",", "")) == pytest.approx(server_us, rel=0.005)
    assert rows["sse-starlette"][3:5] == ["15", "9.5"]


def test_refused_runs_have_no_row() -> None:
    with pytest.raises(UsageError, match="no valid run of rabbitmq; its first run was refused: machine busy"):
        table(comparison("rabbitmq"))
    with pytest.raises(UsageError, match="no valid run of rabbitmq-per-client; measure"):
        table(made_up.comparison([run for run in comparison().runs if run.contender != "rabbitmq-per-client"]))


def test_it_is_between_the_markers_of_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    head, tail = page.split(BEGIN)[0], page.split(END)[1]
    new = written(page, comparison())
    assert new.startswith(head)
    assert new.endswith(tail)
    assert written(new, comparison()) == new
