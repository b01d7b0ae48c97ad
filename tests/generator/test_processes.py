"""A generator with several processes: one schedule, one report, and no report if a process is missing."""

import multiprocessing
import os
import signal
import socket
import struct
import subprocess
from functools import partial

import psutil
import pytest
import redis

from brokers.contenders import find_contender
from core.contracts.codec import read, write
from core.contracts.generator_report import GeneratorReport
from core.contracts.session_rules import SessionRules
from core.errors import TransientError, UsageError
from core.process import OWN_PYTHON
from core.stamp import decode
from generator.conductor import Conductor, ShareHolder
from generator.processes import _how_ended, _PipeLink
from generator.session import Orders, first_instant_ns
from generator.settings import GeneratorSettings
from generator.share import Share
from tests.waiting import wait_until

TOPICS = 5


@pytest.fixture
def broker(integration, tmp_path):
    with find_contender("valkey").launched(tmp_path) as broker:
        yield broker


@pytest.fixture
def started(broker, tmp_path):
    """Starts a generator of two processes, and ends it."""
    running = []

    def start(**settings):
        env = {name: value for name, value in os.environ.items() if not name.startswith("FANBENCH_")}
        settings |= {"broker_url": broker.url, "processes": 2, "topics": f"room-{{0..{TOPICS - 1}}}", "rate_hz": 100}
        settings |= {"report": tmp_path / "report.json"}
        env |= {f"FANBENCH_{name.upper()}": str(value) for name, value in settings.items()}
        with (tmp_path / "log").open("w") as log:
            running.append(subprocess.Popen([*OWN_PYTHON, "-m", "generator"], env=env, stderr=log))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def test_two_processes_follow_the_schedule_of_one_and_write_one_report(started, tmp_path):
    process = started(warmup_s=0.5, duration_s=1)
    assert process.wait(60) == 0, (tmp_path / "log").read_text()
    report = read(GeneratorReport, tmp_path / "report.json")
    assert {topic: counts.measure for topic, counts in report.published.items()} == {
        f"room-{n}": 100 // TOPICS for n in range(TOPICS)
    }
    assert sum(counts.warmup for counts in report.published.values()) == 50
    assert (report.scheduled, report.failed) == (100, 0)
    assert report.offered_hz == pytest.approx(100)


def test_a_process_that_is_killed_leaves_no_report_and_is_named(started, tmp_path):
    process = started()
    wait_until(lambda: len(psutil.Process(process.pid).children()) == 2, "two processes", 40)
    psutil.Process(process.pid).children()[1].kill()
    assert process.wait(60) == 1
    assert "the process of share 2/2 ended with exit code -9" in (tmp_path / "log").read_text()
    assert not (tmp_path / "report.json").exists()


@pytest.mark.usefixtures("integration")
def test_a_process_that_is_killed_within_its_report_is_named():
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=int)
    process.start()
    os.write(theirs.fileno(), struct.pack("!i", 1_000) + b"only the beginning")
    theirs.close()
    member = ShareHolder(Share(1, 2), _PipeLink(ours), partial(_how_ended, process, Share(1, 2)))
    signals, other = socket.socketpair()
    with signals, other, pytest.raises(TransientError, match="share 1/2 ended with exit code 0 and without a report"):
        Conductor(GeneratorSettings(), [member]).conduct(signals)


def test_a_signal_starts_all_processes_and_the_next_ends_them(started, broker, tmp_path):
    with redis.Redis.from_url(broker.url).pubsub() as heard:
        heard.subscribe("room-0", "room-1")
        process = started(hold=True)
        wait_until(lambda: len(psutil.Process(process.pid).children()) == 2, "two processes", 40)
        os.kill(process.pid, signal.SIGUSR1)
        measured = set()

        def hear():
            message = heard.get_message(ignore_subscribe_messages=True)
            if message and decode(message["data"]).phase == "measure":
                measured.add(message["channel"])
            return len(measured) == 2

        wait_until(hear, "events of both shares", 40)
    os.kill(process.pid, signal.SIGUSR1)
    assert process.wait(60) == 0, (tmp_path / "log").read_text()
    report = read(GeneratorReport, tmp_path / "report.json")
    assert set(report.published) == {f"room-{n}" for n in range(TOPICS)}
    assert report.failed == 0


@pytest.mark.usefixtures("integration")
def test_reports_are_merged_from_the_command_line(tmp_path):
    done = subprocess.run(
        [*OWN_PYTHON, "-m", "generator", "merge", "none.json"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "none.json: no such file" in done.stderr


def test_an_instant_in_the_past_is_refused():
    settings = GeneratorSettings(starts_at="2020-01-01T00:00:00Z", share="1/2")
    with pytest.raises(UsageError, match=r"FANBENCH_STARTS_AT=2020.* give all shares a later instant"):
        first_instant_ns(settings, Orders(lambda: None))


def test_sessions_that_began_in_the_past_are_refused_unless_they_were_ordered(tmp_path):
    rules = SessionRules(
        arrivals_hz=1, lifetime_s=(1, 2), rate_hz=(1, 2), payload_bytes=(4, 9), warmup_s=0, duration_s=4, starts_ns=9
    )
    write(rules, tmp_path / "sessions.json")
    settings = GeneratorSettings(sessions=tmp_path / "sessions.json")
    with pytest.raises(UsageError, match=r"starts_ns in .*sessions\.json: that was .* give generator and load a later"):
        first_instant_ns(settings, Orders(lambda: None))
    ordered = GeneratorSettings(sessions=tmp_path / "sessions.json", hold=True)
    assert first_instant_ns(ordered, Orders(lambda: None)) == 9
