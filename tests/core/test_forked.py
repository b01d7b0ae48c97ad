"""Forked programs behave like those started from a command line, except for imports; none outlives its parent."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from core.errors import FanbenchError
from core.forked import ForkServer
from tests.waiting import wait_until

pytestmark = pytest.mark.subprocess

PROGRAM = """
    import json, os, sys, time
    IMPORTED_BY = os.getpid()
    def main():
        print(json.dumps({
            "argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(), "group": os.getpgrp(), "stdin": sys.stdin.read(),
            "imported_by": IMPORTED_BY, "parent": os.getppid(), "pid": os.getpid(),
        }))
        print("to stderr", file=sys.stderr)
        if os.environ["THEN"] == "sleep":
            time.sleep(300)
        if os.environ["THEN"] == "raise":
            raise ValueError("of no use")
        sys.exit(int(os.environ["THEN"]))
"""

PARENT = """
    import sys
    from pathlib import Path
    from core.forked import ForkServer
    folder = Path(sys.argv[1])
    child = ForkServer("program.__main__").spawn("child", "program", folder / "log", {"THEN": "sleep"})
    print(child.pid, flush=True)
    sys.stdin.read()
"""


def gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def cwd(process):
    try:
        return process.cwd()
    except psutil.Error:
        return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forked")
    (folder / "program").mkdir()
    (folder / "program" / "__main__.py").write_text(textwrap.dedent(PROGRAM))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        patch.delenv("PYTHONUNBUFFERED", raising=False)  # it would hide what is written late
        yield folder


@pytest.fixture(scope="module")
def server(folder):
    return ForkServer("program.__main__")


def test_it_is_what_its_command_line_would_have_started(server, folder, tmp_path):
    env = {"THEN": "3", "NAME": "a b\n\u00e4"}
    process = server.fork("program", tmp_path / "log", env)
    assert process.wait(30) == process.poll() == 3
    told, error = (tmp_path / "log").read_text().splitlines()
    found = json.loads(told)
    assert (found["argv"], found["env"], found["cwd"], found["stdin"]) == ([], env, str(Path.cwd()), "")
    assert found["pid"] == found["group"] == process.pid
    assert found["imported_by"] == found["parent"] != os.getpid()
    assert error == "to stderr"


def test_its_log_goes_on_and_an_exception_ends_it_with_1(server, tmp_path):
    (tmp_path / "log").write_text("before\n")
    process = server.fork("program", tmp_path / "log", {"THEN": "raise"})
    assert process.wait(30) == 1
    lines = (tmp_path / "log").read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "ValueError: of no use")


def test_several_run_at_once_and_each_has_its_own_end(server, tmp_path):
    env = {"THEN": "sleep"}
    first, second, third = (server.fork("program", tmp_path / f"log{i}", env) for i in range(3))
    logs = [tmp_path / f"log{i}" for i in range(3)]
    wait_until(lambda: all("to stderr" in log.read_text() for log in logs), "all three run")
    with pytest.raises(subprocess.TimeoutExpired):
        first.wait(0.01)
    third.kill()
    assert third.wait(30) == -signal.SIGKILL
    first.terminate()
    assert first.wait(30) == -signal.SIGTERM
    assert second.poll() is None
    assert " ".join(psutil.Process(second.pid).cmdline()).strip() == f"{sys.executable} -m program"
    second.kill()
    second.wait(30)
    second.terminate()  # the process is gone, and nothing happens


@pytest.mark.parametrize("how", [signal.SIGKILL, None], ids=["killed", "exits"])
@pytest.mark.slow
def test_no_orphan_when_the_parent_ends(how, folder):
    command = [sys.executable, "-c", textwrap.dedent(PARENT), str(folder)]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    descendants = psutil.Process(parent.pid).children(recursive=True)
    assert child in [process.pid for process in descendants]
    parent.send_signal(how) if how else parent.stdin.close()
    parent.wait(30)
    parent.stdout.close()
    parent.stdin.close()
    wait_until(lambda: all(gone(process.pid) for process in descendants), "the end of all", 30)


def test_no_orphan_when_the_parent_ends_before_its_program_started(tmp_path):
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "__main__.py").write_text(textwrap.dedent(PROGRAM))
    (tmp_path / "gate.py").write_text("open('gate').close()")
    os.mkfifo(tmp_path / "gate")
    command = [sys.executable, "-m", "core.fork_server", "gate", "program.__main__"]
    env = os.environ | {"PYTHONPATH": str(Path.cwd())}
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, env=env)
    request = {
        "number": 0,
        "program": "program",
        "log": str(tmp_path / "log"),
        "env": {"THEN": "sleep"},
    }
    server.stdin.write(json.dumps(request).encode() + b"\n")
    server.stdin.close()
    server.stdout.close()
    (tmp_path / "gate").write_text("")  # returns once the import has reached it
    assert server.wait(30) == 0
    wait_until(
        lambda: not any(cwd(process) == str(tmp_path) for process in psutil.process_iter()), "the end of the program"
    )


def test_none_outlives_the_fork_server_and_the_next_start_has_a_new_one(folder, tmp_path):
    server = ForkServer("program.__main__")
    process = server.fork("program", tmp_path / "log", {"THEN": "sleep"})
    psutil.Process(process.pid).parent().kill()
    assert process.wait(30) == -signal.SIGKILL
    wait_until(lambda: gone(process.pid), "the end of the program")
    assert server.fork("program", tmp_path / "log", {"THEN": "0"}).wait(30) == 0


def test_a_failed_import_is_reported_with_the_next_step(folder, tmp_path):
    told = r"ended with exit code 1: ModuleNotFoundError: .*'no_such_module'; see what `.*-m core.fork_server no_such_module`"
    with pytest.raises(FanbenchError, match=told):
        ForkServer("no_such_module").fork("program", tmp_path / "log", {"THEN": "0"})
