"""As many connects are under way as the servers answer in time, so that connecting never stands still; and what never connected is named."""

from dataclasses import dataclass

import pytest

from core.contracts.load_status import LoadStatus
from harness.runner.connecting import not_connected
from load.connect_throttle import FIRST_LIMIT, LARGEST_LIMIT, ConnectThrottle
from load.result_checks import missing_clients
from load.worker_result import Tally, WorkerResult
from tests.load.slow_service import SlowService
from tests.load.swarm import swarm
from tests.waiting import wait_until

S = 1_000_000_000


@dataclass(eq=False)
class Client:
    """What the throttle sees of a reader."""

    throttle: ConnectThrottle
    started_ns: int = 0
    closed: bool = False
    failed: str = ""
    connects: int = 0

    def connect(self):
        self.connects += 1

    def fail(self, reason):
        self.failed = reason
        self.throttle.leave(self)


def crowd(throttle, count):
    """So many clients that want to connect, and those of them that may."""
    clients = [Client(throttle) for _ in range(count)]
    for one in clients:
        throttle.enter(one)
    return clients, [one for one in clients if one.connects]


def test_early_answers_raise_the_limit_and_late_ones_lower_it():
    throttle = ConnectThrottle(timeout_s=8)
    clients, first = crowd(throttle, 1000)
    assert (len(first), throttle.waiting()) == (FIRST_LIMIT, 1000 - FIRST_LIMIT)
    throttle.answered(first[0], 1 * S)
    assert throttle.limit == len(throttle.under_way) == FIRST_LIMIT + 1
    throttle.answered(first[1], 3 * S)
    assert throttle.limit == FIRST_LIMIT + 1
    throttle.answered(first[2], 5 * S)
    assert throttle.limit == len(throttle.under_way) == FIRST_LIMIT
    while throttle.under_way:
        throttle.answered(next(iter(throttle.under_way)), 0)
    assert throttle.limit == LARGEST_LIMIT
    assert all(one.connects == 1 for one in clients)


def test_attempts_that_began_together_halve_the_limit_once():
    throttle = ConnectThrottle(timeout_s=8)
    clients, first = crowd(throttle, 100)
    began_ns = max(one.started_ns for one in first)
    throttle.give_up(min(one.started_ns for one in first) + 8 * S)
    assert not any(one.failed for one in clients)
    for one in first:
        one.started_ns = began_ns - (one is not first[0])
    throttle.give_up(began_ns + 8 * S)
    assert [one.failed for one in first] == ["", *["no answer within 8 s"] * (FIRST_LIMIT - 1)]
    assert throttle.limit == len(throttle.under_way) == FIRST_LIMIT // 2
    throttle.give_up(began_ns + 8 * S + 1)
    assert first[0].failed
    assert throttle.limit == FIRST_LIMIT // 2


def test_for_a_service_that_takes_its_time_the_limit_stays():
    throttle = ConnectThrottle(timeout_s=8, adapts=False)
    _, first = crowd(throttle, LARGEST_LIMIT + 9)
    throttle.answered(first[0], 7 * S)
    throttle.give_up(min(one.started_ns for one in first) + 9 * S)
    assert throttle.limit == LARGEST_LIMIT


def test_whoever_is_closed_while_waiting_takes_no_turn():
    throttle = ConnectThrottle()
    clients, _ = crowd(throttle, FIRST_LIMIT + 2)
    clients[-2].closed = True
    assert throttle.waiting() == 1
    throttle.leave(clients[0])
    assert [one.connects for one in clients[-2:]] == [0, 1]


def test_clients_that_never_had_their_turn_are_counted():
    totals = WorkerResult(Tally(users=9, clients=2, connected=2, waiting=3))
    totals.refused["no answer within 10 s"] = 4
    said = missing_clients(totals, 9)
    assert "2 still were (4 x no answer within 10 s, 3 waited for their turn to connect" in said
    told = not_connected(LoadStatus(clients=26_553, connecting=12, waiting=23_435))
    assert "26553 are connected, 12 have asked for a stream and have no answer yet, 23435 wait for their turn" in told


@pytest.mark.usefixtures("integration")
def test_all_connect_to_a_server_that_is_slower_than_they_are_patient(tmp_path):
    with SlowService(each_s=0.01) as service, swarm(tmp_path, service.url) as started:
        run = started.master(300, "--expect-workers", "1", "--connect-timeout", "1", "--path", "/sse")
        started.worker()
        started.wait_status("clients", 300, 90)
        run.end()
        assert run.wait() == 1  # no event
        result = started.result()
    assert (result["clients"], result["connected"]) == (300, 300)
    assert service.answered < 450, "it works for those that are still there; all at once, 600"
    assert result["turn_ms"]["max"] > result["connect_ms"]["p50"]


@pytest.mark.soak
@pytest.mark.usefixtures("integration")
def test_a_worker_gives_up_as_its_master_says_and_counts_who_waits(tmp_path):
    with SlowService() as service, swarm(tmp_path, service.url) as started:
        master = started.master(60, "--expect-workers", "1", "--connect-timeout", "0.3")
        started.worker()
        # The first waits are 28; more means that attempts were given up and the limit was halved.
        wait_until(lambda: started.status().get("waiting", 0) > 40, "the limit is lowered", 90)
        master.end()
        assert master.wait() == 1
        (said, *_) = started.result()["problems"]
    assert "none of 60 clients ever connected" in said
    assert "x no answer within 0.3 s" in said
    assert "waited for their turn to connect" in said
