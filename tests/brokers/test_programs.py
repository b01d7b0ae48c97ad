"""Real programs are ready after a round trip, come back after a kill, and end with the process that started them."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from brokers.programs.catalogue import PROGRAMS
from brokers.programs.mosquitto import local_config
from brokers.programs.probe import redis_answers
from brokers.programs.running import Running, launch
from core.errors import FanbenchError
from core.process import spawn
from tests.waiting import wait_until

EMBEDDED = ["valkey", "nats"]
pytestmark = pytest.mark.usefixtures("integration")


def port_of(running, name):
    return int(running.listeners[name].rpartition(":")[2])


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_programs_are_always_here(name):
    assert PROGRAMS[name].find() is not None
    assert PROGRAMS[name].version()[0].isdigit()


def test_a_program_answers_when_it_is_started_and_is_gone_when_it_is_stopped(tmp_path):
    with PROGRAMS["valkey"].start(tmp_path) as running:
        port = port_of(running, "redis")
        assert redis_answers(port)
        assert running.pids == [running.child.pid]
        assert running.data.is_dir()
    assert not redis_answers(port)
    assert running.pids == []
    assert not running.data.exists()
    assert "ready to accept connections" in (tmp_path / "valkey.log").read_text().lower()


def test_after_a_kill_it_comes_back_on_its_port_with_its_data(tmp_path):
    with PROGRAMS["valkey"].start(tmp_path, ["durable"]) as running:
        port = port_of(running, "redis")
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(b"SET k v\r\n")
            assert client.recv(100) == b"+OK\r\n"
        running.kill()
        assert not redis_answers(port)
        running.start_again()
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(b"GET k\r\n")
            assert client.recv(100) == b"$1\r\nv\r\n"


def test_two_of_a_kind_run_side_by_side(tmp_path):
    with PROGRAMS["nats"].start(tmp_path / "a") as one, PROGRAMS["nats"].start(tmp_path / "b") as other:
        assert port_of(one, "nats") != port_of(other, "nats")


def test_a_program_listens_on_the_loopback_address_only(tmp_path):
    with PROGRAMS["nats"].start(tmp_path, ["jetstream", "mqtt"]) as running:
        listening = [c.laddr.ip for c in psutil.Process(running.child.pid).net_connections() if c.status == "LISTEN"]
    assert len(listening) == 2
    assert set(listening) == {"127.0.0.1"}


def test_a_program_that_ends_at_once_is_reported_with_its_last_words(tmp_path):
    running = Running(
        name="broker",
        listeners={},
        data=tmp_path / "data",
        spawn=lambda: spawn("broker", ["sh", "-c", "echo cannot bind; exit 3"], tmp_path / "log"),
        ready=lambda: False,
    )
    with pytest.raises(FanbenchError, match=r"broker ended.*cannot bind"):
        launch(running)
    assert not running.data.exists()


def test_a_program_that_never_answers_is_reported_in_bounded_time_and_stopped(tmp_path):
    running = Running(
        name="broker",
        listeners={},
        data=tmp_path / "data",
        spawn=lambda: spawn("broker", ["sleep", "300"], tmp_path / "log"),
        ready=lambda: False,
        start_timeout_s=0.2,
    )
    with pytest.raises(FanbenchError, match=r"did not answer within 0.2 s"):
        launch(running)
    assert running.child.returncode is not None


def test_a_program_that_is_not_installed_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("brokers.programs.finding._SYSTEM_PATHS", ())
    with pytest.raises(FanbenchError, match="mosquitto is not installed here; `make brokers`"):
        PROGRAMS["mosquitto"].start(tmp_path)


PARENT = """
    import sys, signal
    from pathlib import Path
    from brokers.programs.catalogue import PROGRAMS
    with PROGRAMS[sys.argv[1]].start(Path(sys.argv[2])) as running:
        print(running.child.pid, flush=True)
        signal.pause()
"""


@pytest.mark.parametrize("name", EMBEDDED)
def test_no_orphan_is_left_when_fanbench_is_killed(name, tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(PARENT), name, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": "."}) as parent:
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not alive(pid), "the end of the broker", 30)


def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_rabbitmq_leaves_nothing_behind(running_programs, tmp_path):
    """A separate RabbitMQ starts helpers, among them epmd: all are gone with it."""
    if PROGRAMS["rabbitmq"].find() is None:
        running_programs.missing("rabbitmq")
    with PROGRAMS["rabbitmq"].start(tmp_path) as running:
        family = [running.child.pid, *(p.pid for p in psutil.Process(running.child.pid).children(recursive=True))]
        names = {psutil.Process(pid).name() for pid in family}
        assert {"beam.smp", "epmd"} <= names
    wait_until(lambda: not any(alive(pid) for pid in family), "the end of RabbitMQ and its helpers", 10)


def test_the_local_mosquitto_keeps_the_shared_tuning(tmp_path):
    lines = local_config(12345, tmp_path, stock=False)
    assert "listener 12345 127.0.0.1" in lines
    assert not [line for line in lines if line.startswith("listener 1883")]
    assert {"set_tcp_nodelay true", "max_queued_messages 0", "max_inflight_messages 0"} <= set(lines)
    stock = local_config(12345, tmp_path, stock=True)
    assert not [line for line in stock if line.startswith(("set_tcp", "max_"))]


def test_versions_of_found_programs_are_numbers():
    for program in PROGRAMS.values():
        version = program.version()
        assert bool(version) == (program.find() is not None)
        assert not version or all(part.isdigit() for part in version.split("."))


def test_configurations_contain_no_path_of_this_machine():
    root = Path(__file__).resolve().parents[2]
    for config in (root / "deploy").rglob("*.conf"):
        assert str(root) not in config.read_text()
