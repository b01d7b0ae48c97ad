"""Each replica that has clients is asked for its clock, whatever a proxy in between does with connections and requests."""

import itertools
import socket
import threading
from contextlib import contextmanager, suppress
from time import time_ns

import gevent
import pytest

from core.clock_offset import OffsetInterval
from core.contracts.clock import ClockReading
from core.contracts.codec import encode
from core.endpoint.origin import parse_origin
from core.host_clock import ClockMark, HostClock, short_name
from load.clock_correction import ClockCorrection
from load.clock_probes import Probes
from load.connection_pool import ReplicaAddress
from tests.load.test_clocks import event, folded
from tests.waiting import wait_until

SERVERS = ["replica-1", "replica-2", "replica-3"]
AHEAD_NS = 50_000_000


class Balancer:
    """A port in front of several replicas with another clock; it chooses one for each connection, or for each request."""

    def __init__(self, by, *, closes=False, has_clock=True):
        self.by, self.closes, self.has_clock = by, closes, has_clock
        self.turn = itertools.count()
        self.connections = 0
        self.open = set()

    def serve(self, listener):
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.connections += 1
                self.open.add(connection)
                threading.Thread(target=self.answer, args=(connection, next(self.turn)), daemon=True).start()

    def answer(self, connection, number):
        with connection, suppress(OSError):
            while connection.recv(65_536):
                server = SERVERS[(number if self.by == "connection" else next(self.turn)) % len(SERVERS)]
                body = encode(ClockReading(server=server, now_ns=time_ns() + AHEAD_NS))
                status = "200 OK" if self.has_clock else "404 Not Found"
                head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall((head + body).encode())
                if self.closes:
                    return
        self.open.discard(connection)


@contextmanager
def probing(clocks, servers, *balancers):
    """Ask through these balancers, for replicas with these names, until the block ends."""
    probes = Probes(clocks.known, servers)
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in balancers]
    for balancer, listener in zip(balancers, listeners, strict=True):
        threading.Thread(target=balancer.serve, args=(listener,), daemon=True).start()
    ports = [listener.getsockname()[1] for listener in listeners]
    probes.start(
        [
            ReplicaAddress(parse_origin(f"http://127.0.0.1:{port}"), socket.AF_INET, ("127.0.0.1", port))
            for port in ports
        ]
    )
    try:
        yield probes
    finally:
        probes.stop()
        gevent.sleep(0)
        for listener in listeners:
            listener.close()


def until(probe, what):
    """Wait while the probes' greenlets run."""

    def once():
        gevent.sleep(0.005)
        return probe()

    return wait_until(once, what)


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("by", ["connection", "request"])
def test_every_replica_with_clients_is_heard(by, closes):
    clocks = ClockCorrection()
    with probing(clocks, set(SERVERS), Balancer(by, closes=closes)) as probes:
        until(lambda: set(clocks.known.replicas) == set(SERVERS), "every replica has reported its clock")
        until(lambda: not probes.waiting(), "events can be counted")
        assert not clocks.known.lacks(SERVERS, time_ns())


def test_a_connection_that_led_to_the_only_replica_with_clients_is_enough():
    clocks, balancer = ClockCorrection(), Balancer("connection")
    with probing(clocks, {"replica-1"}, balancer) as probes:
        until(lambda: not probes.waiting(), "events can be counted")
        until(lambda: len(clocks.known.replicas) == 1, "it is heard")
    assert balancer.connections == 1


def test_a_replica_that_is_no_longer_heard_is_sought_again(monkeypatch):
    monkeypatch.setattr("load.clocks.STALE_NS", 500_000_000)
    clocks, balancer = ClockCorrection(), Balancer("connection")
    with probing(clocks, set(SERVERS), balancer):
        until(lambda: set(clocks.known.replicas) == set(SERVERS), "every replica has reported its clock")
        before = {name: one.heard_ns for name, one in clocks.known.replicas.items()}
        for connection in list(balancer.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        next(balancer.turn)  # the kept connection leads to another one now
        until(
            lambda: all(one.heard_ns > before[name] for name, one in clocks.known.replicas.items()),
            "all are heard again",
        )


def test_the_replica_with_which_a_generator_compared_itself_is_sought():
    clocks, now_ns = ClockCorrection(), time_ns()
    compared = ClockMark(HostClock("third0", 1), short_name("replica-3"), OffsetInterval(0, 0)).encode()
    with probing(clocks, {"replica-1"}, Balancer("connection")):
        until(lambda: "replica-1" in clocks.known.replicas, "one is heard")
        assert "replica-3" not in clocks.known.replicas
        folded(clocks, now_ns, event(now_ns, content=compared))
        until(lambda: "replica-3" in clocks.known.replicas, "the other is heard")


def test_one_address_without_a_clock_does_not_make_unknown_clocks_ours():
    clocks = ClockCorrection()
    with probing(clocks, {"replica-1"}, Balancer("request"), Balancer("request", has_clock=False)):
        until(lambda: clocks.known.without_clock and "replica-1" in clocks.known.replicas, "both have answered")
        now_ns = time_ns()
        folded(clocks, now_ns, event(now_ns, "replica-9"))
        assert clocks.tally.uncompared == {"replica-9": 1}
