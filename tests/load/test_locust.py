"""The suite gives the same totals from one process, from --processes, and from a master with workers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.truth.measuring import ROOT, measure

pytestmark = pytest.mark.usefixtures("integration")

USERS = 12
SCRIPTS = [
    {
        "server": f"r{k}", "stream": f"s{k}", "topic": "events", "clients": USERS // 2, "measure": 60,
        "omit": [20, 21, 40], "double": [30], "swap": [50], "every": 2,
    }
    for k in range(2)
]  # fmt: skip
CHOSEN = USERS // 2


@pytest.mark.parametrize("how", ["single", "processes", "workers"])
def test_totals_do_not_depend_on_who_holds_the_clients(how):
    deliveries = USERS * 60 - 3 * CHOSEN
    result = measure(*SCRIPTS, users=USERS, how=how)
    counted = {
        name: result[name] for name in ("clients", "users", "deliveries", "events", "lost", "duplicated", "reordered")
    }
    assert counted == {
        "clients": USERS,
        "users": USERS,
        "deliveries": deliveries,
        "events": 120,
        "lost": 3 * CHOSEN,
        "duplicated": CHOSEN,
        "reordered": CHOSEN,
    }
    assert {name: (one["clients"], one["topics"]) for name, one in result["servers"].items()} == {
        "r0": (6, {"events": 6}),
        "r1": (6, {"events": 6}),
    }
    assert result["problems"] == []
    assert result["causes"] == {"unexplained": 3 * CHOSEN}
    assert sum(row["deliveries"] for row in result["timeline"]) == deliveries
    assert "deliveries" in result["log"]
    assert not {"recovery", "bystanders"} & result.keys()  # there was no fault


def locust(*arguments, **env):
    return subprocess.run(
        [Path(sys.executable).with_name("locust"), "-f", "load/sse.py", "--headless", "--skip-log-setup", *arguments],
        cwd=ROOT, env=os.environ | env, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def test_bad_options_end_with_one_line_and_code_2():
    done = locust("--host", "http://127.0.0.1:1", "--topic", "a b")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("fanbench:")]
    assert "--topic 'a b'" in line
    assert "Traceback" not in done.stderr


def test_a_run_without_a_replica_ends_automatically_and_says_so(tmp_path):
    out = tmp_path / "out.json"
    done = locust(
        "-u", "3", "-r", "3", "-t", "1s", FANBENCH_LOAD_REPLICAS="http://127.0.0.1:1", FANBENCH_LOAD_OUT=str(out)
    )
    assert done.returncode == 1
    assert "none of 3 clients ever connected" in done.stdout
    assert "Connection refused" in done.stdout
    assert json.loads(out.read_text())["clients"] == 0
