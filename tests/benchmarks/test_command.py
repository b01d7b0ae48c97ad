"""`python -m benchmarks --quick`: like `make bench`, but with few clients."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks.figures import Bar, FigureTable
from core.errors import FanbenchError

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]  # every part, on two cores that other tests share


@pytest.fixture(scope="module")
def quick(integration: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """Its output and the files that it wrote."""
    found = tmp_path_factory.mktemp("benchmarks") / "found.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", str(found)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout, json.loads(found.read_text())


def tables(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By name."""
    return {table["name"]: table for table in found["tables"]}


def rows(table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Figures by row."""
    return {row["name"]: row["figures"] for row in table["rows"]}


def test_every_part_is_there(quick: tuple[str, dict[str, Any]]) -> None:
    printed, found = quick
    assert {
        "fanout-40",
        "fanout-sizes",
        "loads",
        "adapters-burst",
        "adapters-paced",
        "idle-servers",
        "idle-locust",
        "micro",
        "fixed",
        "stock",
        "precision",
        "single",
    } <= set(tables(found))
    for table in found["tables"]:
        assert table["title"] in printed
        assert all(row["name"] in printed for row in table["rows"])
    assert "NOT MET" not in printed  # a quick run judges nothing


def test_ratios_are_those_of_the_rounds(quick: tuple[str, dict[str, Any]]) -> None:
    fanout = rows(tables(quick[1])["fanout-40"])
    floor = fanout["raw write"]["us/delivery"]["rounds"]
    assert fanout["raw write"]["x raw write"]["rounds"] == [1.0] * len(floor)
    ours = fanout["fanbench"]
    wanted = [mine / theirs for mine, theirs in zip(ours["us/delivery"]["rounds"], floor, strict=True)]
    assert ours["x raw write"]["rounds"] == pytest.approx(wanted)
    assert min(floor) > 0.5  # no system call is faster, so nothing was counted that did not happen


def test_the_bars_of_the_product_are_named(quick: tuple[str, dict[str, Any]]) -> None:
    limits = {bar["name"]: (bar["limit"], bar["unit"]) for table in quick[1]["tables"] for bar in table["bars"]}
    assert limits["Locust's CPU per delivery over a bare epoll reader's"] == (1.3, "x")
    assert limits["valkey over its bare library, burst"] == limits["valkey over its bare library, paced"] == (1.15, "x")
    assert limits["replica's memory per idle connection"] == (10, "KB")
    assert limits["a run's fixed cost, valkey"] == (4, "s")
    assert limits["Locust's memory per user"] == (16, "KB")
    assert limits["connections accepted per second of CPU"] == (3_000, "/s")


def test_the_achieved_rate_is_shown_with_the_cost(quick: tuple[str, dict[str, Any]]) -> None:
    for name, figures in rows(tables(quick[1])["fanout-40"]).items():
        assert 0 < figures["events/s"]["high"] <= 50, name


def test_the_phases_of_a_run_add_up_to_its_fixed_cost(quick: tuple[str, dict[str, Any]]) -> None:
    figures = rows(tables(quick[1])["fixed"])["valkey"]
    together = figures["s in addition to the scenario's own"]["median"]
    phases = [figure["median"] for title, figure in figures.items() if title.startswith("s to ")]
    assert len(phases) == 4
    # The measured phase ends with its last event, which is due one interval (50 ms) before its end.
    assert 0 < sum(phases) <= together + 0.1


@pytest.mark.usefixtures("integration")
def test_a_failed_part_is_reported_and_the_others_continue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(*_: object) -> Iterator[FigureTable]:
        yield FigureTable("first", "the first size", [])
        raise FanbenchError("deliveries did not come")

    def works(*_: object) -> list[FigureTable]:
        return [FigureTable("other", "the other part", [], [Bar("b", None, 1.0, obstacle="not here")])]

    monkeypatch.setattr(command, "PARTS", {"fails": fails, "works": works})
    monkeypatch.setattr(command, "stay_on", lambda core: None)
    out = tmp_path / "found.json"
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--json", str(out)])
    assert command.main() == 1
    found = json.loads(out.read_text())
    assert [table["name"] for table in found["tables"]] == ["first", "other"]
    assert found["failed"] == {"fails": "deliveries did not come"}
    assert found["tables"][1]["bars"][0]["verdict"] == "not judged"


def test_the_micro_benchmarks_cover_the_hot_paths(quick: tuple[str, dict[str, Any]]) -> None:
    micro = rows(tables(quick[1])["micro"])
    for words in ("fan out", "frame an event", "parse", "look up", "track", "record"):
        assert any(words in name for name in micro), words
    assert all(figures["ns each"]["median"] > 0 for figures in micro.values())


@pytest.mark.usefixtures("integration")
def test_an_unknown_part_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "fanuot"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "unknown part 'fanuot'; parts: fanout" in done.stderr
