"""Every command works from any directory, with relative paths, next to folders with our packages' names."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.resources import resource_folder
from tests.elsewhere import put_decoys
from tests.harness.command import fanbench
from tests.harness.forked_command import forked_fanbench

SCENARIO = "clients = 6\nreplicas = 1\nrate_hz = 20\nwarmup_s = 0.2\nduration_s = 1\nrounds = 1\n"

pytestmark = pytest.mark.timeout(300)  # real programs on two cores that other tests share


@pytest.fixture(scope="module")
def elsewhere(integration, tmp_path_factory):
    """A directory with decoys, and the user's own scenario, needs and stored results."""
    folder = put_decoys(tmp_path_factory.mktemp("elsewhere"))
    (folder / "mine").mkdir()
    (folder / "mine" / "load.toml").write_text(SCENARIO, encoding="utf-8")
    (folder / "mine" / "needs.toml").write_text("clients = 900\n", encoding="utf-8")
    shutil.copytree(resource_folder("reference") / "broadcast", folder / "mine" / "stored")
    return folder


def measured(folder):
    """The only run of a result directory, with every delivery accounted for.

    It may be refused because of the machine.
    """
    with (folder / "summary.csv").open(newline="", encoding="utf-8") as file:
        row = list(csv.DictReader(file))[-1]
    assert int(row["delivered"]) == int(row["expected"]) > 0, row["problems"]
    return row


@pytest.mark.usefixtures("integration")
def test_compare_of_the_checkout_measures(elsewhere):
    command = [Path(sys.executable).with_name("fanbench"), "compare", "memory", "-s", "smoke", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--repeats", "0", "--json"], cwd=elsewhere, capture_output=True, text=True, timeout=280
    )
    answer = json.loads(done.stdout)
    folder = Path(answer["folder"])
    assert answer["complete"], done.stderr
    assert folder.parent == elsewhere / "results"
    assert measured(folder)["clients"] == "50"
    assert done.returncode == (0 if any(run["valid"] for run in answer["runs"]) else 1)


@pytest.fixture(scope="module")
def answer(integration, elsewhere):
    """The output of a comparison that was given only relative paths."""
    words = ["compare", "memory", "-s", "mine/load.toml", "--out", "mine/out", "--repeats", 0, "--json"]
    return json.loads(fanbench(*words, cwd=elsewhere).stdout)


def test_relative_paths_are_resolved_for_the_user(elsewhere, answer):
    assert measured(Path(answer["folder"]))["clients"] == "6"
    assert Path(answer["folder"]).parent == elsewhere / "mine" / "out"
    assert Path(answer["report"]).is_file()


def test_a_relative_baseline_is_read(elsewhere):
    done = fanbench("compare", "memory", "-s", "mine/load.toml", "--baseline", "mine/stored", cwd=elsewhere)
    assert done.returncode == 2
    assert f"--baseline {elsewhere}/mine/stored measured " in done.stderr, "it was read: its workload is another one"


def commands_of(answer):
    return " ".join(gap["command"]["command"] for gap in answer["not_measured"] if gap["command"])


def test_relative_needs_and_results_are_read(elsewhere):
    answer = json.loads(
        forked_fanbench("choose", "mine/stored", "--needs", "mine/needs.toml", "--json", cwd=elsewhere).stdout
    )
    assert answer["left"]
    assert "--clients 900" in commands_of(answer)


def test_needs_come_through_a_pipe_too(elsewhere):
    command = [sys.executable, "-P", "-m", "harness.commands.cli", "choose", "--needs", "/dev/stdin", "--json"]
    done = subprocess.run(command, input="clients = 700\n", cwd=elsewhere, capture_output=True, text=True, timeout=60)
    assert "--clients 700" in commands_of(json.loads(done.stdout))


def test_a_relative_result_directory_is_reported(elsewhere, answer):
    page = Path(answer["report"])
    page.unlink()
    done = forked_fanbench("report", page.parent.relative_to(elsewhere), cwd=elsewhere)
    assert done.stdout.strip() == str(page)
    assert page.is_file()
