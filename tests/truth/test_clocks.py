"""Replicas and generator with wrong clocks, by libfaketime: each offset is found within its bound, and hops are corrected.

The offsets are known exactly, and so is the asymmetry of the path, which a proxy makes.
"""

import json
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from brokers.contenders import find_contender
from core.contracts.codec import encode, write
from core.contracts.load_orders import LoadOrder
from core.contracts.session_rules import SessionRules
from core.ports import free_ports
from core.process import OWN_PYTHON
from core.tcp_proxy import TcpProxy
from harness.runner.processes import child_env, get
from load.clock_correction import GENERATOR
from tests.missing import missing
from tests.truth.measuring import ROOT, process
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("integration")

CLIENTS = 20
LIBRARY = "*/faketime/libfaketimeMT.so.1"
START_S = 60.0
SESSIONS = SessionRules(
    arrivals_hz=10, lifetime_s=(1, 2), rate_hz=(20, 40), payload_bytes=(4, 30), resume=0.3, warmup_s=1, duration_s=3
)
WRONG_MS = 250.0
"""No hop of these programs takes so long at the median; an offset that is not corrected does, or is below zero."""


def wrong_clock(text):
    """The environment of a program with a wrong clock: `+0.5` is half a second ahead, `%FILE` follows a file."""
    libraries = [str(path) for path in Path("/usr/lib").glob(LIBRARY)]
    if not libraries:
        missing("libfaketime is not installed; run `make brokers`")
    env = {
        "LD_PRELOAD": libraries[0],
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    if text.startswith("%"):
        return env | {"FAKETIME_TIMESTAMP_FILE": text[1:], "FAKETIME_NO_CACHE": "1"}
    return env | {"FAKETIME": text}


class Hosts:
    """A broker, replicas, a generator and the load, each with its own clock."""

    def __init__(self, folder):
        self.folder = folder
        self.urls = []
        self._stack = ExitStack()

    def __enter__(self):
        self.broker = self._stack.enter_context(find_contender("valkey").launched(self.folder))
        return self

    def __exit__(self, *error):
        self._stack.close()

    def start(self, name, *command, clock=None, **settings):
        env = child_env(settings) | (wrong_clock(clock) if clock else {})
        log = self.folder / f"{name}.log"
        return self._stack.enter_context(process(*OWN_PYTHON, "-m", *command, log=log, env=env, cwd=ROOT))

    def replica(self, name, clock, there_s=0.0, back_s=0.0):
        (port,) = free_ports(1)
        self.start(name, "server", clock=clock, port=port, server=name, broker_url=self.broker.url)
        address = f"127.0.0.1:{port}"
        wait_until(lambda: get(f"http://{address}/readyz"), f"{name} is ready", START_S)
        if there_s or back_s:
            proxy = self._stack.enter_context(TcpProxy(address))
            proxy.delay(there_s, back_s)
            address = proxy.address
        self.urls.append(f"http://{address}")

    def visited(self, generator_clock):
        """The load's result for sessions whose generator has this clock, and compares it."""
        out, status = self.folder / "out.json", self.folder / "status.json"
        rules, control, report = (self.folder / name for name in ("rules.json", "control.jsonl", "report.json"))
        write(SESSIONS, rules)
        control.touch()
        urls = ",".join(self.urls)
        words = ["-f", ROOT / "load" / "sse.py", "--headless", "-u", CLIENTS, "-r", CLIENTS, "--replicas", urls]
        words += ["--host", self.urls[0], "--sessions", rules, "--stamp", "compact", "--control", control]
        load = self.start("load", "load", *words, "--out", out, "--status", status)
        wait_until(
            lambda: status.exists() and json.loads(status.read_text())["visitors"] == CLIENTS, "all are there", START_S
        )
        (port,) = free_ports(1)
        url = {"broker_url": self.broker.url, "report": report, "replicas": urls, "metrics_port": port}
        held = {"sessions": rules, "stamp": "compact", "hold": True}
        generator = self.start("generator", "generator", clock=generator_clock, **url, **held)
        wait_until(lambda: get(f"http://127.0.0.1:{port}/metrics"), "the generator is connected", START_S)
        starts_ns = time.time_ns() + 1_000_000_000
        write(SESSIONS.started(starts_ns), rules)
        generator.send_signal(signal.SIGUSR1)
        control.write_text(encode(LoadOrder(do="begin", at_ns=starts_ns)) + "\n")
        wait_until(report.exists, "the generator has ended", START_S)
        load.send_signal(signal.SIGTERM)
        load.wait(START_S)
        return json.loads(out.read_text())

    def measured(self, generator_clock, *, compares=True, seconds=2.0, meanwhile=lambda: None):
        """The load's result for events whose generator has this clock."""
        out, status = self.folder / "out.json", self.folder / "status.json"
        words = [
            "-f",
            ROOT / "load" / "sse.py",
            "--headless",
            "-u",
            CLIENTS,
            "-r",
            CLIENTS,
            "--replicas",
            ",".join(self.urls),
        ]
        load = self.start("load", "load", *words, "--host", self.urls[0], "--out", out, "--status", status)
        wait_until(
            lambda: status.exists() and json.loads(status.read_text())["clients"] == CLIENTS, "all connect", START_S
        )
        report = self.folder / "report.json"
        replicas = {"replicas": ",".join(self.urls)} if compares else {}
        times = {"rate_hz": 50, "warmup_s": 1.5, "duration_s": seconds}
        url = {"broker_url": self.broker.url, "report": report}
        self.start("generator", "generator", clock=generator_clock, **url, **times, **replicas)
        meanwhile()
        wait_until(report.exists, "the generator has ended", START_S)
        load.send_signal(signal.SIGTERM)
        load.wait(START_S)
        return json.loads(out.read_text())


def require_within_bounds(result, **ahead_ms):
    """Every offset agrees with the one that was set, within its bound."""
    found = result["clocks"]["offsets"]
    for name, true_ms in ahead_ms.items():
        one = found[{"generator": GENERATOR, "load": socket.gethostname()}.get(name, name)]
        assert abs(one["ahead_ms"] - true_ms) <= one["bound_ms"] + 0.001, (name, true_ms, found)


def require_corrected(result):
    """No hop shows an offset, and only the width of bounds is a problem."""
    for hop in ("broker", "fanout"):
        assert 0 <= result["hops_ms"][hop]["p50"] < WRONG_MS, result["hops_ms"]
    assert result["latency_ms"]["p50"] < WRONG_MS
    assert [one for one in result["problems"] if one != result["wide_bounds"]] == []


def test_every_clock_is_wrong_and_one_way_is_longer_than_the_way_back(tmp_path):
    with Hosts(tmp_path) as hosts:
        hosts.replica("replica-1", "+0.5")
        hosts.replica("replica-2", "-0.5", there_s=0.002, back_s=0.008)
        result = hosts.measured("-0.02")
    require_within_bounds(result, load=-500, generator=-520)
    require_within_bounds(result, **{"replica-2": -1000})
    assert result["clocks"]["offsets"]["replica-2"]["bound_ms"] >= 5  # half of the 10 ms in both directions
    require_corrected(result)


@pytest.mark.soak
def test_sessions_are_corrected_like_other_events(tmp_path):
    with Hosts(tmp_path) as hosts:
        hosts.replica("replica-1", "+0.5")
        result = hosts.visited("-0.3")
    require_within_bounds(result, load=-500, generator=-800)
    visits = result["visits"]
    assert (visits["wrong"], result["lost"]) == (0, 0)
    assert visits["due"] == visits["complete"] > 0
    require_corrected(result)
    assert 0 <= visits["first_event_ms"]["p50"] < WRONG_MS


@pytest.mark.soak
@pytest.mark.parametrize("replica", ["-0.5", "-0.02", "+0.02", "+0.5"])
@pytest.mark.parametrize("generator", ["-0.5", "+0.02"])
def test_offsets_are_found(tmp_path, replica, generator):
    with Hosts(tmp_path) as hosts:
        hosts.replica("replica-1", replica)
        result = hosts.measured(generator)
    replica_ms, generator_ms = 1000 * float(replica), 1000 * float(generator)
    require_within_bounds(result, load=-replica_ms)
    if generator != replica:
        require_within_bounds(result, generator=generator_ms - replica_ms)
    require_corrected(result)


@pytest.mark.soak
def test_a_clock_that_drifts_is_corrected(tmp_path):
    with Hosts(tmp_path) as hosts:
        hosts.replica("replica-1", "+0.1 x1.0002")
        result = hosts.measured(None, seconds=10.0)
    require_corrected(result)


@pytest.mark.soak
def test_a_generator_that_nobody_compares_and_a_clock_that_is_set_are_problems(tmp_path):
    clock = tmp_path / "clock"
    clock.write_text("+0.1\n")
    with Hosts(tmp_path) as hosts:
        hosts.replica("replica-1", f"%{clock}")
        result = hosts.measured("+0.2", compares=False, meanwhile=lambda: clock.write_text("+0.15\n"))
    problems = " ".join(result["problems"])
    assert "the clock of replica-1 was set" in problems
    assert "give the generator FANBENCH_REPLICAS" in problems
