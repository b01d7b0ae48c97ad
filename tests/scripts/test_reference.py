"""scripts/reference.sh keeps finished measurements, reports failures, and replaces all of results/reference or nothing.

Measuring takes an hour; here a stand-in for `fanbench` writes the directories.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.waiting import wait_until

pytestmark = pytest.mark.subprocess

SCRIPT = Path(__file__).parents[2] / "scripts" / "reference.sh"
SEARCHES = ["capacity-nats", "capacity-rabbitmq-mqtt"]
EVERY = ["broadcast", "burst", *SEARCHES, "faults", "rooms", "tokens", "transports", "users"]
PARTS = ["broadcast", "burst", "capacity", "faults", "rooms", "tokens", "transports", "users"]
FANBENCH = """#!/bin/bash
# The last word is where to write; what FAILS names leaves an unfinished directory, what WAITS names waits for Ctrl-C.
echo "$*" >> calls
out="${@: -1}"
case "$*" in
  *${FAILS:-nothing fails}*) mkdir -p "$out/20260101T000000Z-x-incomplete"; exit 1 ;;
  *${WAITS:-nothing waits}*)
    trap 'mkdir -p "$out/20260101T000000Z-x-incomplete"; exit 1' INT
    touch waiting
    while :; do sleep 0.05; done ;;
esac
folders=("$out/20260101T000000Z-x")
case "$*" in
  *"capacity --all"*) # a directory with a page and a directory for each search
    all="$out/20260101T000000Z-capacity-clients-all"
    folders=("$all/20260101T000000Z-capacity-nats-clients" "$all/20260101T000400Z-capacity-rabbitmq-mqtt-clients") ;;
esac
for folder in "${folders[@]}"; do
  mkdir -p "$folder/logs" "$folder/charts"
  echo {} > "$folder/manifest.json"
  touch "$folder/report.html" "$(dirname "$folder")/report.html"
done
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with the script, the stand-in, and an older reference."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    for path, text in {".venv/bin/fanbench": FANBENCH, "scripts/reference_pages.sh": "touch pages\n"}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
        (tmp_path / path).chmod(0o755)
    (tmp_path / "results" / "reference" / "old").mkdir(parents=True)
    return tmp_path


def run(tree: Path, *parts: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [tree / "scripts" / "reference.sh", *parts]
    return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=60, check=False)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def calls(tree: Path) -> int:
    return len((tree / "calls").read_text().splitlines())


def test_every_part_is_measured_and_replaces_the_old_reference(tree: Path) -> None:
    done = run(tree)
    assert done.returncode == 0, done.stderr
    assert names(tree / "results") == ["reference"]
    assert names(tree / "results" / "reference") == EVERY
    for part in EVERY:
        assert names(tree / "results" / "reference" / part) == ["manifest.json"]
    assert (tree / "pages").exists()


def test_a_failed_part_keeps_the_others_and_is_measured_alone_the_next_time(tree: Path) -> None:
    done = run(tree, FAILS="--scenario rooms")
    assert done.returncode == 1
    assert "not measured: rooms." in done.stderr
    assert names(tree / "results" / "reference") == ["old"]
    assert names(tree / "results" / "reference.new") == [name for name in PARTS if name != "rooms"]
    before = calls(tree)
    assert run(tree).returncode == 0
    assert calls(tree) == before + 1
    assert names(tree / "results" / "reference") == EVERY


def test_named_parts_replace_only_themselves(tree: Path) -> None:
    assert run(tree, FAILS="--scenario rooms").returncode == 1
    (tree / "results" / "reference" / "burst").mkdir()
    (tree / "results" / "reference" / "capacity-gone").mkdir()
    assert run(tree, *(name for name in PARTS if name != "rooms")).returncode == 0
    assert names(tree / "results" / "reference") == sorted([*(name for name in EVERY if name != "rooms"), "old"])
    assert names(tree / "results" / "reference" / "burst") == ["manifest.json"]
    assert names(tree / "results") == ["reference"]


def test_a_part_that_does_not_fit_into_the_time_does_not_start(tree: Path) -> None:
    done = run(tree, MINUTES="6")
    assert "capacity: not begun, its 30 minutes do not fit into MINUTES=6" in done.stderr
    assert done.returncode == 1
    assert "broadcast: not begun, its 14 minutes do not fit into MINUTES=6" in done.stderr
    assert names(tree / "results" / "reference.new") == ["transports"]


def test_ctrl_c_ends_it_and_the_next_start_continues(tree: Path) -> None:
    running = subprocess.Popen(
        [tree / "scripts" / "reference.sh"],
        env=os.environ | {"WAITS": "--scenario burst"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    wait_until((tree / "waiting").exists, "the third part has begun")
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    assert running.wait(20) == 130
    assert names(tree / "results" / "reference") == ["old"]
    assert names(tree / "results" / "reference.new") == ["broadcast", "rooms"]
    assert run(tree).returncode == 0
    assert names(tree / "results" / "reference") == EVERY


def test_failovers_stay_when_the_rest_is_measured_again(tree: Path) -> None:
    for name in ("failovers", "failovers-connected"):
        (tree / "results" / "reference" / name).mkdir()
    assert run(tree).returncode == 0
    assert names(tree / "results" / "reference") == sorted([*EVERY, "failovers", "failovers-connected"])


def test_one_search_is_measured_alone(tree: Path) -> None:
    for name in SEARCHES:
        (tree / "results" / "reference" / name).mkdir()
    assert run(tree, "capacity-nats").returncode == 0
    assert names(tree / "results" / "reference") == [*SEARCHES, "old"]
    assert names(tree / "results" / "reference" / "capacity-nats") == ["manifest.json"]


def test_interrupted_searches_are_left_out(tree: Path) -> None:
    script = (tree / ".venv" / "bin" / "fanbench").read_text()
    (tree / ".venv" / "bin" / "fanbench").write_text(
        script
        + 'case "$*" in *"capacity --all"*) mkdir "$all/20260101T000800Z-capacity-redis-clients-incomplete" ;; esac\n'
    )
    done = run(tree, "capacity")
    assert done.returncode == 1
    assert "not measured: capacity." in done.stderr
    assert names(tree / "results" / "reference") == ["old"]


def test_an_unknown_part_is_reported_before_anything_is_measured(tree: Path) -> None:
    done = run(tree, "broadcast", "room")
    assert (done.returncode, (tree / "calls").exists()) == (2, False)
    assert "no part 'room'; there are: broadcast rooms" in done.stderr
