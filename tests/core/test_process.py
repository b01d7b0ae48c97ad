"""Child processes are stopped with all their descendants, also if the parent is killed."""

import os
import signal
import subprocess
import sys
import textwrap

import psutil
import pytest

from core.errors import FanbenchError
from core.process import spawn
from tests.waiting import wait_until

pytestmark = pytest.mark.subprocess

PARENT = """
    import sys
    from pathlib import Path
    from core.process import spawn
    # A child that ignores SIGTERM and has a child of its own.
    code = "import subprocess,signal,time,sys; signal.signal(15, signal.SIG_IGN); p = subprocess.Popen(['sleep', '300']); print(p.pid, flush=True); time.sleep(300)"
    child = spawn("child", [sys.executable, "-c", code], Path(sys.argv[1]))
    print(child.pid, flush=True)
    sys.stdin.read()
"""


KILLED_WHILE_STARTING = """
    import os, signal, sys
    from pathlib import Path
    import core.process
    def tell(line):
        print(line[1:], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    core.process._guard.tell = tell
    core.process.spawn("child", ["sh", "-c", "echo it runs; exec sleep 300"], Path(sys.argv[1]))
"""


def start_parent(log):
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), str(log)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(parent.stdout.readline())
    wait_until(lambda: log.exists() and log.read_text().strip(), "the grandchild")
    return parent, child, int(log.read_text())


def gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("how", [signal.SIGKILL, None], ids=["killed", "exits"])
@pytest.mark.slow
def test_no_orphan_when_the_parent_ends(how, tmp_path):
    parent, child, grandchild = start_parent(tmp_path / "log")
    parent.send_signal(how) if how else parent.stdin.close()
    parent.wait(30)
    parent.stdout.close()
    parent.stdin.close()
    wait_until(lambda: gone(child) and gone(grandchild), "the end of child and grandchild", 30)


def test_no_orphan_when_the_parent_is_killed_before_the_guard_knows_the_child(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(KILLED_WHILE_STARTING), tmp_path / "log"]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    wait_until(lambda: gone(int(killed.stdout)), "the end of the child", 30)
    assert (tmp_path / "log").read_text() == ""


def test_stop_ends_the_whole_group_and_is_idempotent(tmp_path):
    child = spawn("sh", ["sh", "-c", "trap '' TERM; sleep 300 & echo $!; wait; sleep 300"], tmp_path / "log")
    wait_until(lambda: (tmp_path / "log").read_text().strip(), "the grandchild")
    grandchild = int((tmp_path / "log").read_text())
    child.stop(grace_s=0.2)
    child.stop()
    assert child.returncode is not None
    wait_until(lambda: gone(grandchild), "the end of the grandchild")


def test_a_child_that_ended_is_reported_with_its_last_words(tmp_path):
    child = spawn("broker", ["sh", "-c", "echo no port free; exit 3"], tmp_path / "log")
    assert child.wait(30)
    with pytest.raises(FanbenchError, match=r"broker ended with exit code 3.*no port free"):
        child.require_alive()
    child.kill()


@pytest.mark.parametrize(("code", "transient"), [(0, True), (1, True), (2, False), (3, True)])
def test_a_child_says_by_its_exit_code_whether_another_try_may_succeed(tmp_path, code, transient):
    child = spawn("replica", ["sh", "-c", f"exit {code}"], tmp_path / "log")
    assert child.wait(30)
    with pytest.raises(FanbenchError) as caught:
        child.require_alive()
    assert caught.value.transient is transient
    child.kill()


def test_a_missing_command_is_reported(tmp_path):
    with pytest.raises(FanbenchError, match="is it installed"):
        spawn("x", ["/nowhere/x"], tmp_path / "log")


def test_children_have_a_group_of_their_own(tmp_path):
    child = spawn("sleep", ["sleep", "300"], tmp_path / "log")
    assert os.getpgid(child.pid) == child.pid != os.getpgrp()
    child.stop()
