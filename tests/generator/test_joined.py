"""Generators that run elsewhere join one conductor: one schedule, one report, for one run after the other; whoever is missing is named."""

import contextlib
import os
import signal
import socket
import subprocess
import time

import pytest

from brokers.contenders import find_contender
from core.contracts.codec import decode, read, write
from core.contracts.generator_report import GeneratorReport
from core.contracts.generator_status import GeneratorStatus
from core.contracts.session_rules import SessionRules
from core.errors import UsageError
from core.ports import free_port
from core.process import OWN_PYTHON
from core.token_sessions import sessions
from generator.joined import MemberConnection, require_passed_on
from generator.member import join
from generator.messages import SILENT_S, MemberTells
from generator.settings import GeneratorSettings
from tests.waiting import wait_until

TOPICS = 5
PATIENT_S = 60


class Scene:
    """A broker, generators that join, and a conductor for each run."""

    def __init__(self, folder, broker_url):
        self.folder = folder
        self.broker_url = broker_url
        self.port = free_port()
        self.report, self.status = folder / "report.json", folder / "status.json"
        self.started = []

    def _start(self, log, *words, **settings):
        env = {name: value for name, value in os.environ.items() if not name.startswith("FANBENCH_")}
        env |= {f"FANBENCH_{name.upper()}": str(value) for name, value in settings.items()}
        with (self.folder / log).open("w") as output:
            self.started.append(subprocess.Popen([*OWN_PYTHON, "-m", "generator", *words], env=env, stderr=output))
        return self.started[-1]

    def member(self, log, **settings):
        return self._start(log, "join", f"127.0.0.1:{self.port}", **settings)

    def conductor(self, **settings):
        usual = {"broker_url": self.broker_url, "topics": f"room-{{0..{TOPICS - 1}}}", "rate_hz": 100, "processes": 2}
        usual |= {"join_at": f"127.0.0.1:{self.port}", "report": self.report, "status": self.status}
        return self._start("conductor", **(usual | settings))

    def log(self, name="conductor"):
        return (self.folder / name).read_text()

    def joined(self):
        status = read(GeneratorStatus, self.status)
        return status.joined if status is not None else 0

    def close(self):
        for process in self.started:
            process.kill()
            process.wait()


@pytest.fixture
def scene(integration, tmp_path):
    with find_contender("valkey").launched(tmp_path) as broker:
        made = Scene(tmp_path, broker.url)
        try:
            yield made
        finally:
            made.close()


def test_members_follow_one_schedule_after_the_other_and_make_one_report(scene):
    members = [scene.member(f"member-{number}") for number in range(2)]
    conductor = scene.conductor(warmup_s=0.5, duration_s=1)
    assert conductor.wait(PATIENT_S) == 0, scene.log()
    report = read(GeneratorReport, scene.report)
    expected = {f"room-{number}": 100 // TOPICS for number in range(TOPICS)}
    assert {topic: counts.measure for topic, counts in report.published.items()} == expected
    assert sum(counts.warmup for counts in report.published.values()) == 50
    assert (report.scheduled, report.failed) == (100, 0)
    assert report.offered_hz == pytest.approx(100)
    assert report.cpu_s > 0
    assert len({one.name for one in read(GeneratorStatus, scene.status).members}) == 2

    rules = SessionRules(arrivals_hz=20, lifetime_s=(0.2, 0.8), rate_hz=(20, 40), payload_bytes=(0, 20), warmup_s=0, duration_s=2)  # fmt: skip
    write(rules, scene.folder / "rules.json")
    conductor = scene.conductor(sessions=scene.folder / "rules.json", stamp="compact")
    assert conductor.wait(PATIENT_S) == 0, scene.log()
    report = read(GeneratorReport, scene.report)
    assert report.measured() == {one.topic: len(one.due_ns) for one in sessions(rules)}

    for member in members:
        member.send_signal(signal.SIGTERM)
        assert member.wait(PATIENT_S) == 0


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (signal.SIGKILL, "(share 2/2) ended, or its connection was lost, and without a report"),
        pytest.param(signal.SIGTERM, "was ended by a signal in the middle of the run", marks=pytest.mark.soak),
    ],
)
def test_a_member_that_ends_in_the_middle_is_named_and_leaves_no_report(scene, how, words):
    conductor = scene.conductor()
    members = []
    for number in range(2):  # the second gets the second share
        members.append(scene.member(f"member-{number}"))
        wait_until(lambda count=number + 1: scene.joined() == count, f"{number + 1} have joined", PATIENT_S)
    wait_until(lambda: "publishing share 2/2" in scene.log("member-1"), "it has its task", PATIENT_S)
    members[1].send_signal(how)
    assert conductor.wait(PATIENT_S) == 1
    assert words in scene.log()
    assert f"the generator {socket.gethostname()} {members[1].pid}" in scene.log()
    assert not scene.report.exists()
    assert members[0].poll() is None, "it waits for the next run"


@pytest.mark.soak
def test_a_broker_that_only_the_members_miss_is_told_by_the_conductor(scene):
    scene.broker_url = f"redis://127.0.0.1:{free_port()}"
    conductor = scene.conductor(processes=1)
    member = scene.member("member")
    assert conductor.wait(PATIENT_S) == 1
    assert f"{socket.gethostname()} {member.pid}: " in scene.log()
    assert scene.broker_url in scene.log()


def test_strangers_and_members_of_other_runs_take_no_part(scene):
    conductor = scene.conductor(run_name="mine", processes=1, duration_s=0.5)
    with wait_until(lambda: connected_to(scene.port), "the conductor listens", PATIENT_S) as stranger:
        stranger.settimeout(PATIENT_S)
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(100) == b"", "disconnected"
    other = scene.member("other", run_name="theirs")
    assert other.wait(PATIENT_S) == 2
    assert "this run has the name 'mine', and the generator has 'theirs'" in scene.log("other")
    scene.member("member", run_name="mine")
    assert conductor.wait(PATIENT_S) == 0, scene.log()
    assert read(GeneratorReport, scene.report).scheduled == 50


def connected_to(port):
    try:
        return socket.create_connection(("127.0.0.1", port), 5)
    except OSError:
        return None


def test_a_member_that_is_silent_is_lost(monkeypatch):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = MemberConnection(ours, "10.0.0.7:1234")
        assert connection.silent_s() == 0
        now_s = time.monotonic()
        monkeypatch.setattr("generator.joined.time.monotonic", lambda: now_s + SILENT_S + 1)
        assert connection.silent_s() > 0.5
        theirs.sendall(MemberTells(what="alive").model_dump_json().encode() + b"\n" + b'{"version":1,"wh')
        assert connection.news() == []
        assert connection.silent_s() == 0
        theirs.sendall(b'at":"report","text":"x"}\n')
        assert [(one.what, one.text) for one in connection.news()] == [("report", "x")]


@pytest.mark.parametrize(
    "given", [{"share": "1/2"}, {"starts_at": "2026-11-30T06:00:00Z"}, {"publish": "POST http://a/{topic}"}]
)
def test_what_would_not_reach_the_members_is_refused(given):
    with pytest.raises(UsageError, match="is not passed on to the generators that join"):
        require_passed_on(GeneratorSettings(join_at="127.0.0.1:5560", processes=2, **given))


@pytest.mark.parametrize("words", [[], ["somewhere"], ["host:0"], ["host:65536"]])
def test_an_address_is_needed_to_join(words):
    with pytest.raises(UsageError, match="not an address; give HOST:PORT"):
        join(words)


def test_settings_that_concern_joining_are_checked():
    with pytest.raises(ValueError, match="give HOST:PORT"):
        GeneratorSettings(join_at="5560")
    with pytest.raises(ValueError, match="up to 64 letters"):
        GeneratorSettings(run_name="a b")
    assert decode(MemberTells, '{"what":"joined"}', "here").usage is None
