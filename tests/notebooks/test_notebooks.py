"""Every notebook runs from the top, on the reference results or made-up ones, and its stored outputs are clean."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.contracts.capacity import Capacity
from harness.analysis.stored_results import Result
from harness.report.notebook import RESULTS, newest
from harness.results.store import open_results, store_capacity
from tests.harness import made_up

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
HAVE_REFERENCE = any(REFERENCE.glob("*/manifest.json"))


def store(parent: Path, runs: list[object], search: Capacity | None = None) -> None:
    folder = open_results(parent, "made-up", scenario=made_up.SCENARIO, command="fanbench", host={}, versions={})
    for run in runs:
        folder.add_run(run)  # type: ignore[arg-type]
    path = folder.finish(complete=True, verdict=["valkey holds it"] if search else [])
    if search:
        store_capacity(path, search)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference results or, if there are none yet, made-up ones of each kind."""
    if HAVE_REFERENCE:
        return REFERENCE
    parent = tmp_path_factory.mktemp("results")
    compared = (("valkey", 0.4), ("redis", 0.4), ("rabbitmq", 3.0), ("memory", 0.01))
    store(parent, [made_up.run(name, r, broker_ms=broker) for r in range(1, 6) for name, broker in compared])
    loads = [made_up.SCENARIO.with_fields(clients=clients) for clients in (20, 40, 80)]
    store(parent, [made_up.run("valkey", n, scenario=load) for n, load in enumerate(loads, 1)], made_up.search())
    store(
        parent, [made_up.fault_run("valkey", "broker-kill", lost={"broker": 40}), made_up.fault_run("nats", "link-cut")]
    )
    return parent


@pytest.mark.usefixtures("integration")
@pytest.mark.timeout(300)
def test_each_runs_from_the_top(results: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "notebooks.py"), "--check"],
        env=os.environ | {RESULTS: os.path.relpath(results, tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{notebook.name}: every cell ran" for notebook in NOTEBOOKS]


def test_they_open_on_a_comparison_with_a_constant_rate_which_sessions_do_not_have() -> None:
    """`choose` knows no sessions, and their load is not the one of the scenario."""
    sessions = made_up.SCENARIO.with_fields(topic_arrivals_hz=1.5, stamp="compact")
    usual = Result("usual", made_up.comparison([made_up.run()], started_utc="2026-01-01T00:00:00Z"), search=False)
    newer = made_up.comparison([made_up.run(scenario=sessions)], scenario=sessions, started_utc="2026-02-02T00:00:00Z")
    assert newest([usual, Result("tokens", newer, search=False)]) is usual


def test_the_four_are_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["capacity", "choose", "compare", "faults"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_in_place_once_there_is_a_reference(notebook: Path) -> None:
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert bool(outputs) is HAVE_REFERENCE
    assert [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"] == []
    assert str(ROOT) not in notebook.read_text()
    if HAVE_REFERENCE:
        assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
