"""A permanent failure is measured once: here a user who may publish but not subscribe."""

import json

import pytest

from brokers.programs.catalogue import PROGRAMS
from brokers.programs.probe import answers
from brokers.programs.running import Running, launch
from core.ports import free_port
from core.process import spawn
from harness.results.load import load_results
from tests.harness.command import fanbench

USER, PASSWORD = "writer", "writes-only"
SHORT = ["--clients", "2", "--replicas", "1", "--duration", "0.5", "--warmup", "0.1"]


@pytest.fixture
def url(integration, tmp_path):
    port, acl = free_port(), tmp_path / "acl"
    acl.write_text(f"user default off\nuser {USER} on >{PASSWORD} ~* &* +@all -subscribe\n")
    command = [PROGRAMS["valkey"].find(), "--port", str(port), "--bind", "127.0.0.1", "--aclfile", acl, "--save", ""]
    ready = lambda: answers(port, [(b"PING\r\n", b"-NOAUTH")])  # noqa: E731
    spawned = lambda: spawn("valkey", command, tmp_path / "log", cwd=tmp_path)  # noqa: E731
    with launch(Running("valkey", {}, tmp_path / "data", spawned, ready)):
        yield f"redis://{USER}:{PASSWORD}@127.0.0.1:{port}"


def test_a_comparison_measures_it_once_and_says_why(url, tmp_path):
    done = fanbench("compare", url, *SHORT, "--rounds", "3", "--out", tmp_path / "results", "--json")
    told = json.loads(done.stdout)
    (run,) = load_results(told["folder"] and tmp_path / "results" / told["folder"].rpartition("/")[2]).runs
    assert done.returncode == 1
    assert run.permanent
    assert not run.disturbed
    assert "cannot subscribe" in run.problems[0]
    assert "grant it to this user" in run.problems[0]
    assert "another run would fail for the same reason" in done.stderr


def test_a_capacity_search_ends_with_it(url, tmp_path):
    done = fanbench("capacity", url, *SHORT, "--out", tmp_path / "results", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert [point["judged"] for point in told["points"]] == [False]
    assert "cannot subscribe" in told["points"][0]["why"]
    assert told["note"] == "no run at any load can succeed"
