"""CPU and memory of whole process trees, compared with a known amount of work."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from harness.runner.resources import Sampler, connections_to, stopped_now
from tests.waiting import wait_until

# Burns CPU seconds by its own count, however busy the machine is; TREE does it in a child.
LEAF = "import sys, time\nwhile time.process_time() < float(sys.argv[1]): pass\nprint('burnt', flush=True)\nsys.stdin.read()"
TREE = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', sys.argv[2], sys.argv[1]]).wait()"


@pytest.fixture
def burner():
    process = subprocess.Popen(
        [sys.executable, "-c", TREE, "0.8", LEAF], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.stdin.close()
    process.wait(30)
    process.stdout.close()


@pytest.mark.usefixtures("integration")
def test_cpu_of_a_grandchild_counts_for_its_part(burner):
    sampler = Sampler(lambda: {"load": [burner.pid], "server": []})
    sampler.start()
    assert burner.stdout.readline() == "burnt\n"
    window = sampler.stop()
    assert 0.5 <= window.parts["load"].cpu_s <= 1.2
    assert window.parts["load"].busiest_core <= 1.1
    assert window.parts["load"].rss_mb > 5
    assert window.parts["server"].cpu_s == 0


@pytest.mark.usefixtures("integration")
def test_cpu_of_foreign_processes_counts_as_others(burner):
    sampler = Sampler(lambda: {"load": []})
    sampler.start()
    assert burner.stdout.readline() == "burnt\n"
    window = sampler.stop()
    assert window.others_cores * window.seconds >= 0.5


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count CPU in ticks")
@pytest.mark.usefixtures("integration")
def test_cpu_is_finer_than_a_tick_of_the_system():
    # Each answer costs the child microseconds; in ticks of 10 ms that is nothing, or a whole tick.
    script = "import sys\nfor line in sys.stdin: sum(range(20_000)); print(end=line, flush=True)"
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask():
        child.stdin.write("\n")
        child.stdin.flush()
        child.stdout.readline()

    try:
        ask()  # it has started
        used = []
        for _ in range(4):
            sampler = Sampler(lambda: {"server": [child.pid], "load": []})
            sampler.start()
            ask()
            used.append(sampler.stop().parts["server"].cpu_s)
        assert all(seconds > 0 for seconds in used)
        assert any(seconds % 0.01 for seconds in used)
    finally:
        child.kill()
        child.communicate()


@pytest.mark.usefixtures("integration")
def test_a_stopped_process_is_detected():
    process = subprocess.Popen(["sleep", "60"])
    try:
        sampler = Sampler(lambda: {"server": [process.pid], "load": []})
        sampler.start()
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: stopped_now({"server": [process.pid]}) == ["server"], "it is stopped")
        wait_until(lambda: sampler._parts["server"].stopped, "a sample")
        assert sampler.stop().stood_still_s["server"] >= 0.5
    finally:
        process.kill()
        process.wait()


def test_the_connections_of_a_listener_are_counted_and_no_others():
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as other:
        host, port = listener.getsockname()
        clients = [socket.create_connection(at.getsockname()) for at in (listener, listener, listener, other)]
        held = [at.accept()[0] for at in (listener, listener, listener, other)]
        assert connections_to([os.getpid()], [f"{host}:{port}"]) == 3
        for one in (*clients, *held):
            one.close()
        assert connections_to([os.getpid()], [f"{host}:{port}"]) == 0
