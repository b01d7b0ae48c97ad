"""The kit finds each broken promise, reports it in one line, and continues."""

import json

import pytest

from brokers import inbox
from brokers import memory as memory_module
from brokers.conformance import Conformance, features_of, promises, run_conformance
from brokers.conformance.provocations import FIELDS, NOTHING, pending_of, provocations_of
from brokers.conformance.workbench import BrokenPromiseError, Workbench
from brokers.contenders import all_contenders, find_contender
from core.errors import UsageError
from harness.commands.conformance import conformance_command


@pytest.fixture
def memory(tmp_path):
    return Workbench(find_contender("memory"), "memory://", None, tmp_path, provocations_of("memory"))


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
def test_which_promises_a_url_allows(url, has, has_not):
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
        """Kill a broker."""
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
    """The proxy uses the adapter's default port if the URL names none."""
    running = running_programs.workbench(find_contender("valkey")).running
    host, _, port = running.listeners["redis"].rpartition(":")
    monkeypatch.setattr("brokers.redis.RedisAdapter.default_ports", {"redis": int(port)})
    await Conformance().test_link_cut(Workbench(find_contender(f"redis://{host}"), f"redis://{host}", None, tmp_path))


NEEDED = {
    "restricted": "test_forbidden_topic_harms_no_other",
    "vanish": "test_vanished_consumer_is_noticed",
    "elsewhere": "test_not_here_any_more",
    "leftovers": "test_clean_up_leaves_nothing",
}
"""The promise that a provocation is for."""


@pytest.mark.parametrize("contender", all_contenders(), ids=lambda contender: contender.name)
def test_nothing_is_silently_left_out_for_our_contenders(contender):
    """Each provocation exists, is impossible for a given reason, or its promise is listed as not kept yet."""
    found, pending = provocations_of(contender.name), pending_of(contender.name)
    assert set(FIELDS) == set(NEEDED)
    assert found is not NOTHING
    for field, test in NEEDED.items():
        given, never, later = bool(getattr(found, field)), field in found.inapplicable, test in pending
        assert given or never or later, f"{contender.name} has no {field}, no reason, and does not list {test}"
        assert not (never and (given or later)), f"{contender.name}: {field} is inapplicable, and is not"
    assert pending <= {name for name, _ in promises(set())}


def test_a_promise_not_kept_yet_is_reported_and_is_not_success(monkeypatch):
    monkeypatch.setattr("brokers.conformance.pending_of", lambda name: frozenset({"test_unsubscribe_stops"}))
    chosen = ("test_bytes_unchanged", "test_unsubscribe_stops", "test_not_here_any_more")
    monkeypatch.setattr(
        "brokers.conformance.promises", lambda features: [(n, set()) for n in chosen[:2]] + [(chosen[2], {"elsewhere"})]
    )
    outcomes = []
    assert not run_conformance("memory", outcomes.append)
    assert [outcome.status for outcome in outcomes] == ["kept", "not yet", "not applicable"]
    assert outcomes[2].detail == "needs elsewhere; there is no broker"


async def test_a_topic_that_takes_its_batch_with_it_is_found(memory, monkeypatch):
    await Conformance().test_unusable_topic_harms_no_other(memory)

    async def all_or_nothing(self, *topics, since_ns=None):
        names, refused = self._names.sort_out(topics)
        if refused:
            raise ValueError("one of them is bad")
        return await ordinary(self, *names)

    ordinary = memory_module.MemoryConsumer.subscribe
    monkeypatch.setattr(memory_module.MemoryConsumer, "subscribe", all_or_nothing)
    with pytest.raises(ValueError, match="one of them is bad"):
        await Conformance().test_unusable_topic_harms_no_other(memory)


async def test_what_a_run_leaves_behind_is_found(memory, monkeypatch):
    await Conformance().test_clean_up_leaves_nothing(memory)

    async def lazy(self, endpoint):
        pass

    monkeypatch.setattr(memory_module.MemoryAdapter, "clean_up", lazy)
    with pytest.raises(BrokenPromiseError, match=r"left behind: .*fanbench-"):
        await Conformance().test_clean_up_leaves_nothing(memory)


async def test_a_silent_link_is_found(running_programs, monkeypatch):
    workbench = running_programs.workbench(find_contender("valkey"))
    monkeypatch.setattr("brokers.conformance.links.DEADLINE_S", 0.3)
    monkeypatch.setattr("brokers.link.Link.went_down", lambda self, cause: None)
    with pytest.raises(BrokenPromiseError, match="link is not reported as not connected"):
        await Conformance().test_link_state_follows(workbench)
