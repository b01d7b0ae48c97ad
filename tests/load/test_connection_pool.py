"""Readers share caches: a topic's first client caches nothing, all others read the cache. Their connects are limited."""

import heapq
import itertools

import pytest

from core.sse import encode_event
from core.stamp import Stamp, encode
from load.client_state import Counters
from load.connection_pool import CONNECT_DEADLINE_NS, ConnectionPool, ConnectThrottle
from load.frames import SeriesRegistry
from load.transport import PLAIN, SSE


def frame(seq):
    payload = encode(Stamp("k3f9", seq, "a", "measure", 10, 20))
    return encode_event('{"server":"r","received_ns":30,' + payload[1:].decode(), id=f"k3f9-{seq}")


def test_only_what_several_clients_get_is_remembered():
    pool = ConnectionPool(
        loop=None,
        addresses=[],
        transport=SSE,
        registry=SeriesRegistry(),
        counters=Counters(),
        on_connect=lambda took_ns, failure: None,
        on_break=lambda reason: None,
    )
    first, second, third = (pool.feed(PLAIN, "r", "a") for _ in range(3))
    assert second is third
    assert pool.feed(PLAIN, "other", "a") is first, "alone at its server"
    for feed in (first, second):
        assert feed.parse(frame(0)).seq == 0
    assert first.get(frame(0)) is None
    assert third.get(frame(0)).seq == 0


S = 1_000_000_000


class Replicas:
    """Simulated time, and three replicas that take their connects one by one, also those that were given up."""

    def __init__(self, answer_ns: int, silent: int) -> None:
        self.throttle = ConnectThrottle(adapts=True)
        self.now_ns = S
        self.connecting: set[Client] = set()
        self.connected_ns: list[int] = []
        self._answer_ns = answer_ns
        self._silent = silent
        """How many of them never answer."""
        self._free_ns = [0, 0, 0]
        self._due: list[tuple[int, int, object]] = []
        self._order = itertools.count()

    def at(self, at_ns, do):
        heapq.heappush(self._due, (at_ns, next(self._order), do))

    def ask(self, replica, answered):
        if replica >= self._silent:
            self._free_ns[replica] = max(self._free_ns[replica], self.now_ns) + self._answer_ns
            self.at(self._free_ns[replica], answered)

    def tick(self):
        self.throttle.give_up_late(self.connecting, self.now_ns)
        self.at(self.now_ns + S // 5, self.tick)

    def connect(self, clients, within_s):
        for number in range(clients):
            self.throttle.enter(Client(self, number % 3))
        self.tick()
        while len(self.connected_ns) < clients and self.now_ns < within_s * S:
            self.now_ns, _, do = heapq.heappop(self._due)
            do()
        return len(self.connected_ns)


class Client:
    closed = False

    def __init__(self, replicas: Replicas, replica: int) -> None:
        self._replicas = replicas
        self._replica = replica
        self._attempts = 0
        self.started_ns = 0

    def connect(self):
        self._attempts += 1
        self.started_ns = self._replicas.now_ns
        self._replicas.connecting.add(self)
        attempt = self._attempts
        self._replicas.ask(self._replica, lambda: self._answered(attempt))

    def _answered(self, attempt):
        if attempt == self._attempts and self in self._replicas.connecting:
            self._replicas.connecting.discard(self)
            self._replicas.connected_ns.append(self._replicas.now_ns)
            self._replicas.throttle.leave(self._replicas.now_ns - self.started_ns)

    def fail(self, _):
        self._replicas.connecting.discard(self)
        self._replicas.throttle.leave()
        self._replica = (self._replica + 1) % 3
        self._replicas.at(self._replicas.now_ns + 4 * S, lambda: self._replicas.throttle.enter(self))


@pytest.mark.parametrize(
    ("clients", "answer_ms", "silent", "within_s"),
    [(3_000, 1, 0, 5), (2_000, 200, 0, 150), (300, 2_000, 0, 300), (1_000, 1, 1, 60), (1_000, 1, 2, 150)],
    ids=["quick", "slow", "very slow", "one is silent", "two are silent"],
)
def test_however_long_an_answer_takes_connecting_goes_on(clients, answer_ms, silent, within_s):
    assert Replicas(answer_ms * 1_000_000, silent).connect(clients, within_s) == clients


def test_attempts_that_have_no_answer_are_given_up_at_the_deadline():
    replicas = Replicas(1, silent=3)
    assert replicas.connect(10, within_s=CONNECT_DEADLINE_NS / S - 1) == 0
    assert len(replicas.connecting) == 10
    replicas.now_ns += 3 * S
    replicas.throttle.give_up_late(replicas.connecting, replicas.now_ns)
    assert not replicas.connecting
