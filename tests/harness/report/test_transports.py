"""`fanbench compare --transport sse,ws`: both transports on the same replicas, and the table that compares them."""

import csv

import pytest

from core.errors import UsageError
from core.fault import Fault
from harness.analysis.standings import standings
from harness.analysis.stored_results import Result
from harness.report.page import view_of
from harness.report.transports import transport_tables
from harness.results.load import load_results
from harness.schedule.transports import parse_transports
from tests.harness import made_up
from tests.harness.command import fanbench

CUT = made_up.SCENARIO.with_fields(faults=(Fault(kind="clients-cut"),))


def both(**fields):
    return [made_up.run(transport=transport, **fields) for transport in ("sse", "ws")]


def test_each_figure_is_from_the_runs_that_measured_it():
    runs = both(figures={"event_bytes": 300.0, "connect_p50_ms": 9.0})
    runs += both(round=2, figures={"event_bytes": 310.0}, lost={"broker": 3})
    runs += both(round=3, figures={"recovery_p50_ms": 1000.0, "replayed": 40.0}, scenario=CUT)
    comparison = made_up.comparison(runs)
    assert [standing.contender for standing in standings(comparison)] == ["valkey over sse", "valkey over ws"]
    (table,) = transport_tables(comparison)
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert rows["bytes of an event on the wire"] == ["305", "305"]
    assert rows["time to connect, p50"] == ["9 ms", "9 ms"]
    assert rows["server memory per connection"] == ["not measured", "not measured"]
    assert rows["first event after a cut, p50"] == ["1,000 ms", "1,000 ms"]
    assert rows["lost in the cut"] == ["0", "0"]


def test_one_transport_has_no_table():
    assert transport_tables(made_up.comparison([made_up.run()])) == []


@pytest.mark.parametrize("text", ["", "websocket", "sse,xx"])
def test_an_unknown_transport_is_named(text):
    with pytest.raises(UsageError, match="no transport"):
        parse_transports(text)
    assert parse_transports("ws, sse,ws") == ["ws", "sse"]


@pytest.fixture(scope="module")
def measured(integration, tmp_path_factory):
    out = tmp_path_factory.mktemp("transports")
    done = fanbench(
        "compare", "valkey", "-s", "smoke", "--rounds", 1, "--repeats", 0, "--transport", "sse,ws", "--out", out,
        timeout_s=120,
    )  # fmt: skip
    (folder,) = out.iterdir()
    return done, folder


@pytest.mark.soak
def test_both_are_measured_in_interleaved_rounds_and_nothing_is_lost(measured):
    done, folder = measured
    with (folder / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["round"] for row in rows] == ["1", "1", "2", "2"], done.stderr
    assert {row["transport"] for row in rows[:2]} == {row["transport"] for row in rows[2:]} == {"sse", "ws"}
    for row in rows:
        assert (row["lost"], row["delivered"]) == ("0", row["expected"]), row
    size = {row["transport"]: float(row["event_bytes"]) for row in rows[:2]}
    # `id: STREAM-SEQ`, `data: `, two line ends and a chunk's head and end, against a frame's head of 4 bytes.
    assert 20 < size["sse"] - size["ws"] < 50
    assert all(float(row["reconnects"]) == float(row["clients"]) for row in rows[2:])
    assert "Server-Sent Events or WebSocket" in done.stdout


@pytest.mark.soak
def test_its_report_has_the_table(measured):
    _, folder = measured
    (table,) = [table for table in view_of(load_results(folder), draw=False).tables if "WebSocket" in table.title]
    assert [len(row) for row in table.rows] == [3] * len(table.rows)


def test_a_result_is_named_by_what_was_measured():
    cut = made_up.comparison([made_up.run(scenario=CUT)])
    found = {
        "comparison": Result("a", made_up.comparison([made_up.run()]), False),
        "transports": Result("b", made_up.comparison(both()), False),
        "capacity search": Result("c", made_up.comparison([made_up.run()]), True),
        "faults": Result("d", cut, False),
    }
    assert [result.kind for result in found.values()] == list(found)
