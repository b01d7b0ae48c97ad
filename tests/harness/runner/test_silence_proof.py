"""The harness proves itself: an outage of known length is measured as a silence of that length, in the table's figures."""

import pytest

from brokers.contenders import all_contenders, cluster_contenders, find_contender
from core.fault import Fault
from core.scenario import Scenario
from harness.analysis.failovers import Failover
from harness.analysis.fault_outcomes import outcomes
from harness.runner.run import run_once
from tests.harness.command import Started
from tests.missing import missing

pytestmark = [pytest.mark.usefixtures("integration"), pytest.mark.timeout(200)]
EXACT_S, WITHIN_S = 3.0, 0.05
CLIENTS, RATE_HZ = 2, 100
"""Few, because the held events come at once, and each client hears again only after those before it were read."""
ATTEMPTS = 3
"""Another program that takes the cores for a moment makes the silence longer.

An error of ours would be in each attempt.
"""


def silence_s(name, folder, for_s):
    """Any client's longest silence in a run in which everything on the way to the clients is held for `for_s` seconds."""
    contender = find_contender(name)
    if not contender.runnable:
        missing(f"{name} cannot run here: {contender.install_hint}")
    fault = Fault(kind="proxy-stall", at_s=1, for_s=for_s)
    scenario = Scenario(
        clients=CLIENTS, rate_hz=RATE_HZ, warmup_s=0.5, duration_s=2, drain_s=20, connect_hz=100, faults=(fault,)
    )
    run = run_once(contender, scenario, 1, folder, lambda _: None)
    assert (run.delivered, run.lost) == (run.expected, 0)
    assert run.figures["reconnects"] == 0
    (outcome,) = outcomes([run])
    (silence,) = Failover(outcome, {}).silences_s
    return silence


def test_an_outage_is_read_back(tmp_path):
    assert 0.5 < silence_s("valkey", tmp_path, 1.0) < 10  # a calm machine is more exact, see below


@pytest.mark.soak
@pytest.mark.parametrize("name", [contender.name for contender in (*all_contenders(), *cluster_contenders())])
def test_an_outage_of_three_seconds_is_read_back_within_50_ms_whatever_the_broker(name, tmp_path):
    assert _read_back(name, tmp_path) == pytest.approx(EXACT_S, abs=WITHIN_S)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["valkey-sentinel", "nats-cluster", "rabbitmq-cluster"])
def test_it_is_read_back_beside_a_run_of_another_lane(name, tmp_path):
    """Contenders whose nodes are restarted, one after the other, again and again."""
    words = ("faults", "nats-jetstream-r3", "--fault", "rolling-restart", "--rounds", 50, "--out", tmp_path / "beside")
    beside = Started(*words, log=tmp_path / "log")
    try:
        beside.wait_for_command("load/sse.py")
        assert _read_back(name, tmp_path) == pytest.approx(EXACT_S, abs=WITHIN_S)
        assert beside.process.poll() is None
        beside.interrupt()
        beside.process.wait(60)
    finally:
        beside.close()


def _read_back(name, tmp_path):
    """The silence of the first attempt that is exact, otherwise of the last."""
    found = []
    while not any(abs(silence - EXACT_S) <= WITHIN_S for silence in found) and len(found) < ATTEMPTS:
        found.append(silence_s(name, tmp_path / str(len(found)), EXACT_S))
        print(f"{name}: {found[-1]:.3f} s")
    return found[-1]
