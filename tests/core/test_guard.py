"""If fanbench is killed, the guard does its tasks, except cancelled ones."""

import signal
import subprocess
import sys
import textwrap

import pytest

from tests.waiting import wait_until

pytestmark = pytest.mark.subprocess

PARENT = """
    import signal, sys
    from core.process import when_killed
    when_killed(["touch", sys.argv[1]])
    when_killed(["/nowhere/at/all"])
    call_off = when_killed(["touch", sys.argv[2]])
    call_off()
    print("ready", flush=True)
    signal.pause()
"""


def test_a_killed_parent_leaves_commands_that_are_run(tmp_path):
    done, called_off = tmp_path / "with a space", tmp_path / "called off"
    command = [sys.executable, "-c", textwrap.dedent(PARENT), done, called_off]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "ready\n"
        assert not done.exists()
        parent.send_signal(signal.SIGKILL)
    wait_until(done.exists, "the command that was left to the guard", 30)
    assert not called_off.exists()
