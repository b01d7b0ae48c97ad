"""fanbench is killed together with its guard: the kernel ends its processes."""

import os
import signal
import sys

import psutil
import pytest

from core.ports import free_port
from tests.harness.command import Started, command_line, runs
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.timeout(200),
    pytest.mark.usefixtures("integration"),
    pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's"),
]


def the_guard(started):
    """The guard of the command itself: lanes have guards, too."""
    guards = [p for p in started.seen if any(word.endswith("core/guard.py") for word in command_line(p))]
    (guard,) = [p for p in guards if p.ppid() == started.process.pid]
    return guard


def count(started, part):
    return sum(any(part in word for word in command_line(process)) for process in started.seen)


@pytest.mark.parametrize(
    ("words", "awaited"),
    [
        (
            ("compare", "valkey", "--clients", 50, "--duration", 60, "--rounds", 1, "--load-processes", 2),
            ("valkey-server", "-m generator", "-m server", "load/sse.py"),
        ),
        (("demo", "rabbitmq"), ("beam", "epmd", "-m generator", "-m server", "nginx: worker")),
        (("demo", "mosquitto"), ("mosquitto", "-m server")),
        (("demo", "nats"), ("nats-server", "-m server")),
        pytest.param(
            ("faults", "valkey-sentinel", "nats-cluster", "--fault", "follower-kill", "--duration", 60),
            ("harness.schedule.lane", "valkey-server", "nats-server", "-m generator", "-m server", "load/sse.py"),
            marks=pytest.mark.soak,
        ),
    ],
    ids=lambda words: "-".join(map(str, words[:2])),
)
def test_nothing_outlives_fanbench_and_its_guard_killed_together(words, awaited, tmp_path):
    port = ("--port", free_port()) if words[0] == "demo" else ("--out", tmp_path / "results")
    started = Started(*words, *port, log=tmp_path / "log")
    try:
        for part in awaited:
            started.wait_for_command(part)
        if words[0] == "compare":
            wait_until(lambda: started.look() and count(started, "load/sse.py") >= 3, "a master and two workers", 30)
        else:
            started.wait_for("Ctrl-C stops it")
        started.look()
        guard = the_guard(started)
        for pid in (guard.pid, started.process.pid):
            os.kill(pid, signal.SIGKILL)
        started.process.wait()
        wait_until(lambda: not any(map(runs, started.seen)), "the end of all", 30)
    finally:
        for process in started.seen:
            if runs(process):
                print("left:", process.pid, command_line(process))
                psutil.Process(process.pid).kill()
        started.close()
