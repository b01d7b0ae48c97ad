"""The user's own commands: their environment, their output, and the report of each ending."""

import os
import signal

import psutil
import pytest

from brokers.registry import open_endpoint
from core.errors import FanbenchError, TransientError
from harness.runner.own_commands import run_command
from tests.waiting import wait_until

URL = "nats://probe:s3cret%40word@127.0.0.1:1"
ENDPOINT = open_endpoint(URL)[1]

pytestmark = pytest.mark.subprocess


@pytest.fixture
def run(tmp_path):
    """Runs a command; its log is `tmp_path / "log"`."""

    def run(command, timeout_s=30.0):
        settings = {"broker_url": URL, "delivery": "at-most-once", "max_clients": 7}
        run_command("--deploy", command, settings, ENDPOINT, tmp_path / "log", timeout_s)

    return run


def test_it_has_the_broker_the_delivery_and_the_replicas_settings(run, tmp_path):
    run(f'printf %s "$FANBENCH_BROKER_URL $FANBENCH_DELIVERY $FANBENCH_MAX_CLIENTS" > {tmp_path}/told')
    assert (tmp_path / "told").read_text() == f"{URL} at-most-once 7"


def test_the_users_own_variables_reach_it_and_the_runs_settings_win(run, tmp_path, monkeypatch):
    monkeypatch.setenv("FANBENCH_TOKEN", "of-the-replicas")
    monkeypatch.setenv("FANBENCH_IMAGE", "registry/fanbench:2")
    monkeypatch.setenv("FANBENCH_BROKER_URL", "nats://somewhere-else")
    run(f'printf %s "$FANBENCH_TOKEN $FANBENCH_IMAGE $FANBENCH_BROKER_URL" > {tmp_path}/told')
    assert (tmp_path / "told").read_text() == f"of-the-replicas registry/fanbench:2 {URL}"


def test_secrets_of_the_environment_are_not_in_the_log(run, tmp_path, monkeypatch):
    monkeypatch.setenv("FANBENCH_TOKEN", "of-the-replicas")
    monkeypatch.setenv("PGPASSWORD", "m4rked-w0rd")
    with pytest.raises(FanbenchError) as raised:
        run("env; echo the token of-the-replicas is wrong >&2; exit 1")
    written = f"{raised.value}{(tmp_path / 'log').read_text()}"
    assert "FANBENCH_TOKEN=***" in written
    assert "of-the-replicas" not in written
    assert "m4rked-w0rd" not in written


def test_a_failure_has_the_exit_code_and_the_last_line_of_stderr(run, tmp_path):
    with pytest.raises(FanbenchError, match="--deploy: the command ended with exit code 3: no such pod; ") as raised:
        run("echo out; echo first >&2; echo no such pod >&2; echo >&2; exit 3")
    assert not raised.value.transient
    assert (tmp_path / "log").read_text() == "out\nfirst\nno such pod\n\n"


def test_a_failure_without_output_says_so(run):
    with pytest.raises(FanbenchError, match="ended with exit code 1: it wrote nothing to stderr; "):
        run("false")


def test_a_signal_is_not_an_exit_code(run):
    with pytest.raises(FanbenchError, match="was ended by signal 9"):
        run("kill -9 $$")


def test_the_password_is_in_neither_the_error_nor_the_log(run, tmp_path):
    with pytest.raises(FanbenchError) as raised:
        run('echo "$FANBENCH_BROKER_URL"; echo "cannot reach $FANBENCH_BROKER_URL as s3cret@word" >&2; exit 1')
    told = f"{raised.value}{(tmp_path / 'log').read_text()}"
    assert "cannot reach nats://***@127.0.0.1:1" in told
    assert "s3cret" not in told


def test_background_processes_are_not_waited_for(run, tmp_path):
    run(f"(sleep 60 & echo $! > {tmp_path}/pid; wait) & while [ ! -s {tmp_path}/pid ]; do :; done", timeout_s=30)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)  # it was still there


def test_a_command_that_does_not_end_is_killed_and_reported(run, tmp_path):
    with pytest.raises(TransientError, match=r"--deploy: did not end within 0\.5 s; its last words: still waiting; "):
        run(f"echo $$ > {tmp_path}/pid; echo still waiting >&2; exec sleep 60", timeout_s=0.5)
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not psutil.pid_exists(pid), "its end", 20)
