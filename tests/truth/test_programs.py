"""A delay injected between the real programs must appear in its own hop, in full, and in no other."""

import signal
import threading
from contextlib import ExitStack

import pytest

from brokers.contenders import find_contender
from core.contracts.codec import read
from core.contracts.generator_report import GeneratorReport
from core.histogram import Histogram
from core.scenario import Scenario
from core.tcp_proxy import TcpProxy
from harness.results.run_record import LATENCY
from harness.runner.processes import (
    Children,
    generator_settings,
    poll,
    start_generator,
    start_load,
    start_replicas,
    wait_ready,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("integration")

SCENARIO = Scenario(clients=20, replicas=1, rate_hz=50, warmup_s=0.3, duration_s=3, connect_hz=200)
DELAY_S = 0.03
# What a busy two-core machine may add to the fastest; a delay in the wrong hop would be twice as much.
NOISE_MS = 15.0
QUICKEST = 5
"""Per cent of the deliveries: a machine that is busy only ever adds to a constant delay."""


class Rig:
    """Broker, one replica, generator and Locust, with a proxy on each link, and the measured result."""

    def __init__(self, folder):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.stack = ExitStack()

    def __enter__(self):
        enter = self.stack.enter_context
        contender = find_contender("valkey")
        broker = enter(contender.launched(self.folder))
        (target,) = broker.running.listeners.values()
        self.broker_link = enter(TcpProxy(target))
        children = enter(Children())
        url = {"broker_url": f"redis://{self.broker_link.address}"}
        (replica,) = start_replicas([url], self.folder, children)
        wait_ready([replica])
        self.client_link = enter(TcpProxy(replica.url.removeprefix("http://")))
        settings = generator_settings(SCENARIO) | {"broker_url": broker.url}
        self.generator, self.report = start_generator(settings, self.folder)
        children.add(self.generator)
        self.load = start_load(SCENARIO, [f"http://{self.client_link.address}"], self.folder)
        children.add(self.load.child)
        poll("every client", 60, lambda: self.load.status().reached == SCENARIO.clients or None, [self.load.child])
        return self

    def __exit__(self, *error):
        self.stack.close()

    def measure(self):
        """Let the schedule run to its end; return the load's result."""
        self.generator.send_signal(signal.SIGUSR1)
        report = poll("the report", 60, lambda: read(GeneratorReport, self.report), [self.load.child])
        wanted = report.published["events"].measure * SCENARIO.clients
        wait_until(lambda: self.load.status().deliveries == wanted, "every delivery")
        return self.load.finish()


@pytest.fixture
def rig(tmp_path):
    with Rig(tmp_path) as rig:
        yield rig


def quickest(folder, meddle):
    """Milliseconds by hop, the minimum of at most three runs: the machine, or a defect, can only add to them."""
    found = {}
    for attempt in range(3):
        with Rig(folder / str(attempt)) as rig:
            meddle(rig)
            result = rig.measure()
        for hop, encoded in result.histograms.by_span().items():
            if hop == LATENCY:
                continue
            ms = Histogram.decode(encoded).percentile_ms(QUICKEST)
            found[hop] = min(ms, found.get(hop, ms))
        if sum(found.values()) <= DELAY_S * 1000 + NOISE_MS:
            break
    return found


@pytest.mark.parametrize(("link", "slowed"), [("broker_link", "broker"), ("client_link", "fanout")])
def test_a_slow_link_shows_only_in_its_own_hop(link, slowed, tmp_path):
    found = quickest(tmp_path, lambda rig: getattr(rig, link).delay(DELAY_S))
    assert DELAY_S * 1000 <= found.pop(slowed) <= DELAY_S * 1000 + NOISE_MS
    assert max(found.values()) <= NOISE_MS, found


def test_a_stopped_generator_shows_only_in_the_schedule_hop(rig):
    def stop_for_a_second():
        rig.generator.send_signal(signal.SIGSTOP)
        threading.Timer(1.0, rig.generator.send_signal, [signal.SIGCONT]).start()

    threading.Timer(1.0, stop_for_a_second).start()
    result = rig.measure()
    hops = result.hops_ms
    # 50 of 150 events are due while it is stopped, the first of them one second before it continues.
    assert hops.schedule.max >= 950
    assert hops.schedule.p90 >= 600
    assert hops.broker.p90 < 300
    assert result.latency_ms.max >= 950
    assert result.lost == 0
