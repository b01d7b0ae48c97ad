"""The .hgrm files of a result directory agree with its histograms."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.errors import UsageError
from core.histogram import Histogram
from harness.results.hgrm import write_hgrm
from harness.results.load import load_results
from harness.results.run_record import Run
from harness.results.store import open_results
from tests.harness import made_up


def stored(parent: Path, runs: list[Run]) -> Path:
    folder = open_results(parent, "x", scenario=made_up.SCENARIO, command="fanbench", host={}, versions={})
    for run in runs:
        folder.add_run(run)
    return folder.finish(complete=True)


@pytest.mark.slow
def test_each_contender_and_hop_has_a_file_with_the_percentiles_of_its_valid_runs(tmp_path: Path) -> None:
    runs = [made_up.run(name, r) for r in (1, 2) for name in ("valkey", "redis://a/b")]
    runs.append(made_up.run("valkey", 3, fanout_ms=900, problems=("late",)))
    folder = stored(tmp_path, runs)
    written = write_hgrm(folder)
    hops = ("latency", "schedule", "broker", "fanout")
    assert sorted(path.name for path in written) == sorted(
        f"{name}-{hop}.hgrm" for name in ("valkey", "redis-a-b") for hop in hops
    )
    merged = Histogram()
    for run in load_results(folder).runs:
        if run.contender == "valkey" and run.valid:
            merged.merge(run.histograms["latency"])
    text = (folder / "hgrm" / "valkey-latency.hgrm").read_text()
    assert text.split("\n")[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    rows = [line.split() for line in text.splitlines() if re.match(r"\s+[\d.]+ [\d.]+ ", line)]
    assert int(rows[-1][2]) == merged.count
    assert float(rows[-1][0]) == pytest.approx(merged.max_ms(), rel=1e-3)
    nearest = min(rows, key=lambda row: abs(float(row[1]) - 0.5))
    assert float(nearest[0]) == pytest.approx(merged.percentile_ms(100 * float(nearest[1])), rel=0.01)
    assert re.search(rf"TotalCount +=\s+{merged.count}", text)


@pytest.mark.slow
def test_faults_are_files_of_their_own_and_another_directory_may_be_named(tmp_path: Path) -> None:
    folder = stored(tmp_path, [made_up.run("valkey", 1), made_up.fault_run("valkey", "link-cut")])
    names = {path.name for path in write_hgrm(folder, tmp_path / "elsewhere")}
    assert {"valkey-latency.hgrm", "valkey-link-cut-latency.hgrm"} <= names
    assert not (folder / "hgrm").exists()


def test_without_a_valid_run_there_is_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run is valid, so there is nothing to export"):
        write_hgrm(stored(tmp_path, [made_up.run(problems=("late",))]))
