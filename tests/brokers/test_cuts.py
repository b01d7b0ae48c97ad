"""Links between nodes are cut: packets disappear, each side decides separately, and nothing is left afterwards."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap

import psutil
import pytest

from brokers.contenders import find_contender
from brokers.programs.catalogue import CLUSTERS
from brokers.programs.cluster_program import APART
from brokers.programs.namespaces import NodeNetworks, why_not
from brokers.programs.networks import Loopback
from brokers.programs.redis_ask import ask
from core.errors import FanbenchError
from core.fault import Fault
from harness.commands.faults import left_out
from harness.runner import faults
from tests.missing import missing
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def _networks(integration, tmp_path):
    """Skips if networks cannot be made: CI cannot install permissions."""
    try:
        NodeNetworks(1, tmp_path).close()
    except FanbenchError as error:
        pytest.skip(f"{error}; {why_not()}")


@pytest.fixture
def cluster(_networks, tmp_path):
    program = CLUSTERS["valkey-sentinel"]
    if program.find() is None:
        missing(f"no valkey-server: {program.install_hint}")
    with program.start(tmp_path, [APART, "durable"]) as running:
        yield running


def test_a_cut_off_primarys_acknowledged_events_are_discarded_when_it_returns(cluster):
    """The claims of brokers/limits.py about leader-cut, on the bare product."""
    primary = cluster.leader((), "events")
    old = primary.listeners["redis"]
    others = [node.listeners["redis"] for node in cluster.nodes if node is not primary]
    ask(old, "SET", "before", "kept")
    assert ask(old, "WAIT", "2", "20000") == 2
    rejoin = cluster.cut(primary)
    assert ask(old, "SET", "meanwhile", "lost") == "OK"  # clients still reach it, and it accepts their publishes

    def promoted():
        return next((address for address in others if ask(address, "ROLE")[0] == "master"), None)

    new = wait_until(promoted, "another primary", 60, every_s=0.1)
    assert ask(old, "ROLE")[0] == "master"
    assert ask(old, "GET", "meanwhile") == "lost"
    assert ask(new, "GET", "meanwhile") is None
    rejoin()
    cluster.wait_whole()
    assert ask(old, "ROLE")[0] == "slave"
    assert ask(old, "GET", "meanwhile") is None
    assert ask(old, "GET", "before") == "kept"


PARENT = """
    import sys, signal
    from pathlib import Path
    from brokers.programs.namespaces import NodeNetworks
    networks = NodeNetworks(2, Path(sys.argv[1]))
    print(*(holder.pid for holder in networks.holders), networks.link, flush=True)
    signal.pause()
"""


@pytest.mark.usefixtures("_networks")
def test_no_network_is_left_when_fanbench_is_killed_and_that_of_another_run_stays(tmp_path):
    other = NodeNetworks(1, tmp_path / "other")
    try:
        command = [sys.executable, "-c", textwrap.dedent(PARENT), str(tmp_path)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": "."}
        ) as parent:
            *pids, link = parent.stdout.readline().split()
            assert len(pids) == 3
            assert {link, other.link} <= set(psutil.net_if_stats())
            parent.send_signal(signal.SIGKILL)
        wait_until(lambda: link not in psutil.net_if_stats(), "the end of the link", 30)
        wait_until(lambda: not any(psutil.pid_exists(int(pid)) for pid in pids), "the end of who held it", 30)
        assert other.link in psutil.net_if_stats()
    finally:
        other.close()
    assert other.link not in psutil.net_if_stats()


@pytest.mark.usefixtures("integration")
def test_without_permission_for_networks_it_says_what_to_do():
    command = [sys.executable, "-c", "from brokers.programs.namespaces import why_not; print(why_not())"]
    if os.geteuid() == 0 and (setpriv := shutil.which("setpriv")):
        command = [setpriv, "--inh-caps", "-all", "--bounding-set", "-all", *command]
    elif why_not() is None:
        pytest.skip("this user may make networks, and capabilities cannot be dropped")
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": "."})
    assert done.stdout.startswith("needs ")


def test_a_cut_that_cannot_be_made_is_left_out_and_says_why(monkeypatch):
    monkeypatch.setattr(faults, "why_not", lambda: "needs root")
    both = [Fault(kind="leader-cut"), Fault(kind="minority-cut"), Fault(kind="leader-kill")]
    contenders = [find_contender("valkey-sentinel"), find_contender("nats-cluster")]
    assert left_out(contenders, both) == [
        "skipped: leader-cut and minority-cut: needs root",
        "skipped: leader-cut: nats-cluster has no leader: see minority-cut",
        "skipped: leader-kill: nats-cluster has no leader: see connected-node-kill",
    ]


def test_nodes_on_one_address_have_no_links_to_cut():
    with pytest.raises(FanbenchError, match=r"127\.0\.0\.1:4001: nodes on 127\.0\.0\.1 have no links to cut"):
        Loopback().cut("127.0.0.1:4001")
