"""Replicas that somebody else runs: what each reports, what is subtracted, their CPU, and what nobody watched."""

import itertools
import socket
import threading
from contextlib import contextmanager

import pytest

from brokers.registry import open_endpoint
from core.contracts.clock import ClockComparison
from core.contracts.codec import encode
from core.contracts.measures import PhaseCounts
from core.errors import FanbenchError
from core.ports import free_port
from harness.results.run_record import Usage
from harness.runner.replicas_elsewhere import (
    NotReadyError,
    ReplicaElsewhere,
    _same_broker,
    since,
    wait_until_ready,
)
from harness.runner.watch_elsewhere import Followed, ProcessFigures, replica_figures, together, with_clocks_told
from tests.core.contracts.made_up import load_result, replica_stats
from tests.server.program import SseClient, running

MEMORY = open_endpoint("memory://", "at-most-once")[1]


@pytest.fixture(scope="module")
def replica(integration, tmp_path_factory):
    """A real one."""
    with running(tmp_path_factory.mktemp("replica"), broker_url="memory://", rate_hz=5) as found:
        yield found


def here(replica):
    return ReplicaElsewhere(f"http://127.0.0.1:{replica.port}")


def test_a_replica_that_serves_the_broker_is_ready(replica):
    one = here(replica)
    wait_until_ready([one], MEMORY, 30)
    assert one.before is not None
    assert one.before.server == "replica-1"


def test_a_replica_at_another_broker_is_named_with_its_answer(replica):
    other = open_endpoint("nats://10.0.0.5", "at-most-once")[1]
    with pytest.raises(NotReadyError) as raised:
        wait_until_ready([here(replica)], other, 0)
    assert str(raised.value) == (
        f"not ready within 0 s: http://127.0.0.1:{replica.port} (replica-1) uses the broker memory://, not nats://10.0.0.5: "
        "the command must set FANBENCH_BROKER_URL for that replica and restart it"
    )


def test_one_that_does_not_answer_is_named():
    port = free_port()
    with pytest.raises(
        NotReadyError, match=f"http://127.0.0.1:{port}/readyz did not answer .*: check that the replica runs there"
    ):
        wait_until_ready([ReplicaElsewhere(f"http://127.0.0.1:{port}")], MEMORY, 0)


def test_two_addresses_of_one_replica_are_refused(replica):
    twice = [here(replica), ReplicaElsewhere(f"http://localhost:{replica.port}")]
    with pytest.raises(
        FanbenchError, match="all have the name replica-1: give each replica its own FANBENCH_SERVER"
    ) as raised:
        wait_until_ready(twice, MEMORY, 30)
    assert not raised.value.transient, "another attempt would fail in the same way"


def test_without_a_command_another_broker_is_an_error_at_once(replica):
    other = open_endpoint("nats://10.0.0.5", "at-most-once")[1]
    with pytest.raises(FanbenchError) as raised:
        wait_until_ready([here(replica)], other, 600, deployed=False)
    assert "restart it with that FANBENCH_BROKER_URL, or give --deploy" in str(raised.value)
    assert not raised.value.transient


@pytest.mark.parametrize(
    ("named", "given", "same"),
    [
        ("nats://b1", "nats://B1:4222/", True),
        ("redis://me:***@b1:6379", "redis://me:m4rked-w0rd@b1", True),
        ("redis://b1?run_name=a", "redis://b1?run_name=b", False),
        ("redis://b1", "redis://b2", False),
        ("redis://b1:6380", "redis://b1", False),
        ("redis://b1/1", "redis://b1", False),
        ("redis://you:***@b1", "redis://me:m4rked-w0rd@b1", False),
        ("mqtt://b1", "nats://b1", False),
        ("no broker", "nats://b1", False),
    ],
)
def test_a_broker_is_the_same_however_its_url_is_written(named, given, same):
    assert _same_broker(named, open_endpoint(given, "at-most-once")[1]) is same


def test_an_address_that_leads_to_several_replicas_is_refused():
    bodies = [
        encode(replica_stats(server=name, broker="memory://", delivery="at-most-once", clients=0)).encode()
        for name in ("replica-1", "replica-2")
    ]
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies]
    with (
        answering(*answers) as (url, _),
        pytest.raises(FanbenchError, match=f"{url} leads to several replicas, replica-. and replica-.*--clients-at"),
    ):
        wait_until_ready([ReplicaElsewhere(url)], MEMORY, 600, deployed=False)


@pytest.mark.parametrize(
    ("status", "words"), [("401 Unauthorized", "FANBENCH_LOAD_TOKEN"), ("404 Not Found", "--clients-at")]
)
def test_what_no_attempt_changes_is_not_tried_again(status, words):
    with answering(f"HTTP/1.1 {status}\r\nContent-Length: 9\r\n\r\n<b>\r\n</b>".encode()) as (url, _):
        with pytest.raises(FanbenchError, match=words) as raised:
            wait_until_ready([ReplicaElsewhere(url)], MEMORY, 0)
        assert not raised.value.transient
        assert ": <b> </b>; " in str(raised.value), "in one line"


def test_a_foreign_client_would_be_counted(replica):
    with SseClient(replica.port):
        replica.wait_clients(1)
        with pytest.raises(NotReadyError, match="has 1 clients that do not belong to this run: close them"):
            wait_until_ready([here(replica)], MEMORY, 0)
    replica.wait_clients(0)


def test_a_replica_reports_its_cpu_and_memory(replica):
    first = replica_figures(here(replica))
    assert first is not None
    assert first.cpu_s > 0
    assert first.rss_bytes > 10_000_000
    second = replica_figures(here(replica))
    assert second is not None
    assert second.started_s == first.started_s
    assert second.at_s > first.at_s


def test_counts_from_before_the_run_do_not_count():
    before = replica_stats(delivered=100, dropped=5, connects=20, gap_lost={"a": 3, "b": 1})
    now = replica_stats(delivered=130, dropped=5, connects=30, gap_lost={"a": 4, "b": 1, "c": 2}, clients=7)
    counted = since(now, before)
    assert (counted.delivered, counted.dropped, counted.connects, counted.gap_lost) == (30, 0, 10, {"a": 1, "c": 2})
    assert counted.clients == 7, "no count, but how many there are"
    assert counted.received == {"s": {"events": PhaseCounts(warmup=3, measure=20)}}, "by stream: each run has its own"


def test_a_replica_that_was_started_again_counts_from_zero():
    restarted = replica_stats(delivered=10, connects=2)
    assert since(restarted, replica_stats(delivered=100, connects=20)) == restarted


@pytest.mark.parametrize("again", [{"pid": 2}, {"delivered": 90}])
def test_a_restart_is_noticed_although_all_clients_returned(again):
    before = replica_stats(pid=1, delivered=100, connects=20)
    restarted = replica_stats(**{"pid": 1, "delivered": 100, "connects": 20} | again)
    assert since(restarted, before) == restarted


@contextmanager
def answering(*answers):
    """A port at which requests get these bytes in turn; and the heads of the requests."""
    heads, turn = [], itertools.cycle(answers)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    heads.append(connection.recv(65_536).decode())
                    connection.sendall(next(turn))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", heads
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(30)


@pytest.mark.parametrize(
    "answer", [b"-ERR unknown command 'GET'\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b""]
)
def test_an_incomplete_answer_is_not_an_answer(answer):
    with answering(answer) as (url, _):
        one = ReplicaElsewhere(url)
        with pytest.raises(NotReadyError, match=url):
            one.ask("/stats")
        assert one.stats() is None
        assert replica_figures(one) is None


def test_an_invalid_metrics_page_reports_nothing():
    for body in (b"\xff\xfe", b"a {b c"):
        with answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)) as (url, _):
            assert replica_figures(ReplicaElsewhere(url)) is None


def test_a_token_may_have_any_letters():
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as (url, heads):
        assert ReplicaElsewhere(url, "пароль").ask("/stats") == b"{}"
    assert "Authorization: Bearer пароль" in heads[0]


def test_nobody_else_receives_the_token():
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as (other, heads):
        moved = f"HTTP/1.1 302 Found\r\nLocation: {other}/stats\r\nContent-Length: 0\r\n\r\n".encode()
        with answering(moved) as (url, _), pytest.raises(NotReadyError, match="answered 302"):
            ReplicaElsewhere(url, "not-for-others").ask("/stats")
    assert heads == []


def figures(cpu_s, at_s, rss_bytes=50_000_000, started_s=1.0):
    return ProcessFigures(cpu_s, rss_bytes, at_s, started_s)


def test_a_parts_usage_is_the_difference_of_two_samples():
    followed = Followed()
    followed.look({"a": figures(1.0, 100.0), "b": figures(5.0, 7.0)})
    followed.look({"a": figures(1.4, 101.0, 90_000_000), "b": figures(5.1, 8.0)})
    used = followed.usage({"a": figures(2.0, 102.0), "b": figures(5.2, 9.0)})
    assert used == Usage(cpu_s=1.2, rss_mb=140.0, busiest_core=0.5)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ({"a": figures(1, 1), "b": figures(1, 1)}, {"a": figures(2, 2), "b": None}),
        ({"a": figures(1, 1), "b": None}, {"a": figures(2, 2), "b": figures(2, 2)}),
        ({"a": figures(1, 1), "b": figures(1, 1)}, {"a": figures(2, 2)}),
        ({"a": figures(1, 1)}, {"a": figures(0.1, 2, started_s=1.5)}),
        ({}, {}),
    ],
    ids=["silent at the end", "silent at the start", "one is gone", "started again", "nobody told"],
)
def test_a_part_is_watched_whole_or_not_at_all(first, last):
    followed = Followed()
    followed.look(first)
    assert followed.usage(last) is None


def test_clocks_that_nobody_compared_are_a_problem():
    compared = load_result(clocks=ClockComparison(reference="replica-1", offsets={}, bounds_ms={}))
    assert with_clocks_told(compared) == compared
    (problem,) = with_clocks_told(load_result(clocks=None)).problems
    assert "let the proxy at --clients-at pass on /clock" in problem


def test_the_master_counts_as_load():
    assert together(Usage(1.0, 50.0, 0.1), Usage(4.0, 200.0, 0.4)) == Usage(5.0, 250.0, 0.4)
