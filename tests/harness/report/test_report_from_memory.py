"""A report from the comparison in memory equals the one that `fanbench report` makes from the stored files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from core.contracts.capacity import Capacity
from core.contracts.load_result import MeasuredSecond
from harness.report import page
from harness.report.page import build_report, write_report
from harness.results import load
from harness.results.run_record import Run, Usage
from harness.results.store import open_results, store_capacity
from tests.harness import made_up

UNEVEN = {
    "usage": {"load": Usage(1 / 3, 200 / 3, 1 / 7), "server": Usage(2 / 3, 100 / 3, 3 / 7)},
    "timeline": [
        MeasuredSecond(t_s=s, deliveries=7, p50_ms=s + 1 / 3, p99_ms=9 + s / 7, max_ms=30 / 7) for s in (0, 1, 2)
    ],
    "achieved_hz": 20 / 1.001,
}
"""More digits than the files keep."""
NAMES = ("valkey", "nats", "amqp://user:s3cret@host/vhost")


def compared() -> list[Run]:
    runs = [made_up.run(name, r, **UNEVEN) for r in range(1, 6) for name in NAMES]  # type: ignore[arg-type]
    return [*runs, made_up.run("nats", 6, lost={"gap": 7}, problems=("generator late: p99 9 ms; lower --rate",))]


def broken() -> list[Run]:
    return [made_up.fault_run(name, kind, silence_ms=100 / 3) for kind in ("broker-kill", "link-cut") for name in NAMES]


def searched() -> list[Run]:
    loads = [made_up.SCENARIO.with_fields(clients=clients) for clients in (20, 40, 80)]
    return [made_up.run("valkey", number, scenario=load, **UNEVEN) for number, load in enumerate(loads, 1)]  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runs", "search"),
    [(compared(), None), (broken(), None), (searched(), made_up.search())],
    ids=["comparison", "faults", "capacity"],
)
def test_both_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: Sequence[Run], search: Capacity | None
) -> None:
    results = open_results(tmp_path, "x", scenario=made_up.SCENARIO, command="fanbench", host={}, versions={})
    for run in runs:
        results.add_run(run)
    folder = results.finish(complete=True, verdict=["valkey holds it"] if search else [])
    if search:
        store_capacity(folder, search)

    with monkeypatch.context() as patched:  # nothing in memory is read back
        for module in (load, page):
            patched.delattr(module, "load_results")
        written = write_report(folder, results.comparison, search)
    files = {path: path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert written.comparison.verdict

    assert build_report([folder], markdown=False) == str(written.page)
    again = {path: path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert again.keys() == files.keys()
    assert [path.name for path in files if files[path] != again[path]] == []
