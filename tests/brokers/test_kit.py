"""The kit itself: it finds what is broken, says so in one line each, and goes on."""

import json

import pytest

from brokers import inbox
from brokers.conformance import Conformance, features_of, promises, run_conformance
from brokers.conformance.workbench import BrokenPromiseError, Workbench
from brokers.contenders import find_contender
from core.errors import UsageError
from harness.commands.conformance import conformance_command


@pytest.fixture
def memory(tmp_path):
    return Workbench(find_contender("memory"), "memory://", None, tmp_path)


async def test_a_buffer_without_a_bound_is_found(memory, monkeypatch):
    await Conformance().test_overflow_is_told(memory)
    bounded = inbox.Inbox.__init__
    monkeypatch.setattr(inbox.Inbox, "__init__", lambda self, capacity=0: bounded(self, 10**9))
    with pytest.raises(BrokenPromiseError, match="were held"):
        await Conformance().test_overflow_is_told(memory)


def test_a_broker_that_does_not_answer_is_one_error():
    with pytest.raises(UsageError, match=r"redis://127\.0\.0\.1:1: cannot connect"):
        run_conformance("redis://127.0.0.1:1", lambda outcome: None)


@pytest.mark.parametrize(
    ("url", "has", "has_not"),
    [
        ("amqp://user:password@h/vhost", {"link", "password"}, {"program"}),
        ("nats://h", {"link"}, {"password"}),
        ("redis+streams://:password@h", {"link", "password", "replay"}, set()),
        ("memory://", set(), {"link", "password", "program"}),
    ],
)
def test_what_a_url_lets_be_proved(url, has, has_not):
    found = features_of(find_contender(url))
    assert has <= found
    assert not has_not & found


def test_each_promise_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    assert conformance_command("memory", json_answer=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list(promises(set()))) + 1
    assert all(line.lstrip().startswith(("kept", "not applicable")) for line in lines[:-1])


def test_a_broker_that_a_broken_promise_left_dead_is_started_again(running_programs, monkeypatch, capsys):
    running_programs.workbench(find_contender("valkey"))  # or it skips

    async def kill(self, broker):
        """Kills."""
        broker.running.kill()
        raise BrokenPromiseError("it is dead")

    kept = ("test_unsubscribe_stops", "test_two_consumers_both_receive")
    monkeypatch.setattr(Conformance, "test_topics_isolated", kill)
    chosen = ("test_bytes_unchanged", "test_topics_isolated", *kept)
    monkeypatch.setattr("brokers.conformance.promises", lambda features: [(name, set()) for name in chosen])
    assert conformance_command("valkey", json_answer=True) == 1
    statuses = [promise["status"] for promise in json.loads(capsys.readouterr().out)["promises"]]
    assert statuses == ["kept", "broken", "kept", "kept"]


async def test_a_link_is_cut_for_a_url_without_a_port(running_programs, monkeypatch, tmp_path):
    """The proxy goes before the port that the adapter takes where the URL names none."""
    running = running_programs.workbench(find_contender("valkey")).running
    host, _, port = running.listeners["redis"].rpartition(":")
    monkeypatch.setattr("brokers.redis.RedisAdapter.default_port", int(port))
    await Conformance().test_link_cut(Workbench(find_contender(f"redis://{host}"), f"redis://{host}", None, tmp_path))
