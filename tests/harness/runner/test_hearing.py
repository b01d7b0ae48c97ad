"""The time when every replica delivers again, with counts and instants that the test sets."""

from types import SimpleNamespace

import pytest

from core.scenario import Scenario
from harness.runner import hearing as module
from harness.runner.hearing import Hearing

CLIENTS, RATE_HZ = 50, 20
DUE_HZ = CLIENTS * RATE_HZ
"""Deliveries a second of one replica."""


class Replicas:
    """Replaces the testbed: two replicas with CLIENTS clients each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scenario = Scenario(name="faults", clients=2 * CLIENTS, replicas=2, rate_hz=RATE_HZ)
        self.delivered = [0, 0]
        self.silent = False
        self.now_s = 100.0
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now_s))

    def clients_of_topics(self) -> list[dict[str, int]]:
        return [{"events": CLIENTS}, {"events": CLIENTS}]

    def stats(self) -> list[SimpleNamespace | None]:
        return [None if self.silent else SimpleNamespace(delivered=count) for count in self.delivered]

    def run(self, hearing: Hearing, seconds: float, *rates: float) -> bool:
        """Whether it was steady at the end; `rates` has each replica's deliveries, relative to the due rate."""
        steady = False
        for _ in range(round(seconds * 50)):
            self.now_s += 0.02
            self.delivered = [count + rate * DUE_HZ * 0.02 for count, rate in zip(self.delivered, rates, strict=True)]
            steady = hearing.steady()
        return steady


@pytest.fixture
def replicas(monkeypatch):
    return Replicas(monkeypatch)


def test_both_must_deliver_for_two_seconds(replicas):
    hearing = Hearing(replicas)
    assert not replicas.run(hearing, 1.9, 1.0, 1.0)
    assert replicas.run(hearing, 0.5, 1.0, 1.0)


def test_a_replica_that_catches_up_does_not_hide_a_silent_one(replicas):
    hearing = Hearing(replicas)
    assert not replicas.run(hearing, 4, 6.0, 0.0)
    assert not replicas.run(hearing, 1.5, 1.0, 1.0)
    assert replicas.run(hearing, 1, 1.0, 1.0)


def test_sessions_deliver_at_least_what_the_slowest_of_them_gives(replicas):
    replicas.scenario = Scenario(stamp="compact", topic_arrivals_hz=1.5, topic_rate_hz=(10, 30), replicas=2)
    hearing = Hearing(replicas)
    half = 10 / RATE_HZ  # as a share of what DUE_HZ says
    assert not replicas.run(hearing, 4, 2.0 * half, 0.5 * half)
    assert replicas.run(hearing, 3, 1.5 * half, 1.0 * half)


def test_a_replica_that_does_not_answer_starts_again(replicas):
    hearing = Hearing(replicas)
    assert replicas.run(hearing, 3, 1.0, 1.0)
    replicas.silent = True
    assert not replicas.run(hearing, 0.5, 1.0, 1.0)
    replicas.silent = False
    assert not replicas.run(hearing, 1.9, 1.0, 1.0)
    assert replicas.run(hearing, 0.5, 1.0, 1.0)
