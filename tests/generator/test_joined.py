"""Generators that run elsewhere join one conductor: one schedule, one report, for one run after the other; whoever is missing is named."""

import contextlib
import signal
import socket

import pytest
import trustme

from brokers.contenders import find_contender
from core.contracts.codec import decode, read, write
from core.contracts.generator_report import GeneratorReport
from core.contracts.generator_status import GeneratorStatus
from core.contracts.session_rules import SessionRules
from core.errors import UsageError
from core.ports import free_port
from core.token_sessions import sessions
from generator.joined import require_passed_on, run_joined
from generator.member import join
from generator.messages import MemberTells
from generator.settings import GeneratorSettings
from tests.generator.joining_scene import JoiningScene
from tests.waiting import wait_until

SECRET = "a-m4rked-s3cret-of-32-characters"
PATIENT_S = 60


@pytest.fixture
def scene(integration, tmp_path):
    with find_contender("valkey").launched(tmp_path) as broker:
        made = JoiningScene(tmp_path, broker.url)
        try:
            yield made
        finally:
            made.close()


def test_members_follow_one_schedule_after_the_other_and_make_one_report(scene):
    members = [scene.member(f"member-{number}") for number in range(2)]
    conductor = scene.conductor(warmup_s=0.5, duration_s=1)
    assert conductor.wait(PATIENT_S) == 0, scene.log()
    report = read(GeneratorReport, scene.report)
    expected = {f"room-{number}": 100 // scene.topics for number in range(scene.topics)}
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
    own_tls, tls = tls_settings(scene.folder) if how is signal.SIGTERM else ({}, {})
    conductor = scene.conductor(**own_tls)
    members = []
    for number in range(2):  # the second gets the second share
        members.append(scene.member(f"member-{number}", **tls))
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
        told = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := stranger.recv(1000):
                told += piece
        assert told.count(b"\n") <= 1, "disconnected after hello"
    other = scene.member("other", run_name="theirs")
    assert other.wait(PATIENT_S) == 2
    assert "this run has the name 'mine', and the generator has 'theirs'" in scene.log("other")
    scene.member("member", run_name="mine")
    assert conductor.wait(PATIENT_S) == 0, scene.log()
    assert read(GeneratorReport, scene.report).scheduled == 50


def test_only_a_generator_with_the_secret_joins_and_tls_hides_what_they_say(scene):
    own_tls, tls = tls_settings(scene.folder)
    secret_file = scene.folder / "secret"
    secret_file.write_text(f"{SECRET}\n", encoding="utf-8")
    conductor = scene.conductor(processes=1, duration_s=0.5, join_secret=SECRET, **own_tls)
    wrong = scene.member("wrong", join_secret=SECRET[::-1], **tls)
    assert wrong.wait(PATIENT_S) == 2
    assert "this generator was rejected: its secret differs from the run's" in scene.log("wrong")
    scene.member("member", join_secret_file=secret_file, **tls)
    assert conductor.wait(PATIENT_S) == 0, scene.log()
    assert f"rejected the generator {socket.gethostname()} {wrong.pid} at 127.0.0.1:" in scene.log()
    assert read(GeneratorReport, scene.report).scheduled == 50
    written = [
        path.read_text(errors="replace") for path in scene.folder.iterdir() if path.is_file() and path != secret_file
    ]
    assert SECRET not in "".join(written)


def tls_settings(folder):
    """The settings of a conductor with a certificate, and those of the generators that trust it."""
    authority = trustme.CA()
    authority.issue_cert("fanbench.test").private_key_and_cert_chain_pem.write_to_path(folder / "conductor.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return {"join_cert": folder / "conductor.pem"}, {"join_ca_file": folder / "ca.pem", "join_sni": "fanbench.test"}


def connected_to(port):
    try:
        return socket.create_connection(("127.0.0.1", port), 5)
    except OSError:
        return None


@pytest.mark.parametrize(
    "given", [{"share": "1/2"}, {"starts_at": "2026-11-30T06:00:00Z"}, {"publish": "POST http://a/{topic}"}]
)
def test_what_would_not_reach_the_members_is_refused(given):
    with pytest.raises(UsageError, match="is not passed on to the generators that join"):
        require_passed_on(GeneratorSettings(join_at="127.0.0.1:5560", processes=2, **given))


def test_a_port_that_strangers_reach_needs_a_secret():
    with pytest.raises(
        UsageError, match=r"FANBENCH_JOIN_AT=0.0.0.0:5560: other machines .* set the same FANBENCH_JOIN_SECRET"
    ):
        run_joined(GeneratorSettings(join_at="0.0.0.0:5560", processes=2))


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
