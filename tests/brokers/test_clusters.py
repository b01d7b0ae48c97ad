"""Clusters of real programs: complete after the start, led by another node after a death, gone when stopped."""

import os
import signal
import subprocess
import sys
import textwrap

import psutil
import pytest

from brokers.programs.catalogue import CLUSTERS
from brokers.programs.nats_ask import ask as ask_nats
from brokers.programs.redis_ask import ask as ask_redis
from core.errors import FanbenchError
from tests.waiting import wait_until

pytestmark = [pytest.mark.usefixtures("integration"), pytest.mark.timeout(300)]
QUICK = ["valkey-sentinel", pytest.param("valkey-cluster", marks=pytest.mark.soak), "nats-cluster"]
STREAM = '{"name":"x","subjects":["x.>"],"num_replicas":3,"storage":"file","retention":"limits","discard":"old"}'


def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def started(name, folder, *features):
    program = CLUSTERS[name]
    if program.find() is None:
        report = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        report(f"{name} cannot run here; {program.install_hint}")
    return program.start(folder, features)


def leader_other_than(cluster, node, features=()):
    def found():
        try:
            leader = cluster.leader(features, "events")
        except (OSError, FanbenchError):  # nobody leads yet
            return None
        return leader if leader is not node else None

    return wait_until(found, "another leader", 60, every_s=0.1)


@pytest.mark.parametrize(
    "name", ["valkey-sentinel", pytest.param("redis-sentinel", marks=pytest.mark.soak), "valkey-cluster"]
)
def test_a_redis_cluster_survives_its_leader_and_takes_it_back(name, tmp_path):
    with started(name, tmp_path) as cluster:
        assert cluster.whole()
        first = cluster.leader((), "events")
        assert ask_redis(first.listeners["redis"], "ROLE")[0] == "master"
        first.kill()
        assert not cluster.nodes[cluster.nodes.index(first)].pids
        second = leader_other_than(cluster, first)
        assert ask_redis(second.listeners["redis"], "ROLE")[0] == "master"
        cluster.start_again()
        assert cluster.whole()
        assert cluster.leader((), "events") is second  # the first one came back as a follower
        assert ask_redis(first.listeners["redis"], "ROLE")[0] == "slave"
        pids = cluster.pids
    assert not any(alive(pid) for pid in pids)
    assert not cluster.data.exists()


@pytest.mark.soak
def test_a_stream_of_three_copies_survives_its_leader_and_the_kill_of_all_nodes(tmp_path):
    with started("nats-cluster", tmp_path, "jetstream") as cluster:
        assert "error" not in ask_nats(cluster.nodes[0].listeners["nats"], "$JS.API.STREAM.CREATE.x", STREAM)
        first = wait_until(lambda: cluster.leader(["jetstream"], "events"), "the stream's leader", 30)
        assert "error" not in ask_nats(first.listeners["nats"], "x.1", "kept")
        first.kill()
        leader_other_than(cluster, first, ["jetstream"])
        cluster.start_again()
        cluster.kill()
        cluster.start_again()
        info = ask_nats(cluster.nodes[0].listeners["nats"], "$JS.API.STREAM.INFO.x")
        assert info["state"]["messages"] == 1
        with pytest.raises(FanbenchError, match="NATS core has no leader"):
            cluster.leader((), "events")


@pytest.mark.soak
def test_rabbitmq_nodes_find_one_another_and_take_one_back(tmp_path):
    with started("rabbitmq-cluster", tmp_path) as cluster:
        assert cluster.whole()
        cluster.nodes[0].kill()
        wait_until(lambda: not cluster.nodes[0].pids, "the end of the first node")
        cluster.start_again()
        assert cluster.whole()
        families = [psutil.Process(pid).children(recursive=True) for pid in cluster.pids]
        pids = cluster.pids + [child.pid for family in families for child in family]
    wait_until(lambda: not any(alive(pid) for pid in pids), "the end of all nodes and their helpers", 10)


@pytest.mark.parametrize("name", QUICK)
def test_two_clusters_of_a_kind_run_side_by_side_on_the_loopback_address_alone(name, tmp_path):
    with started(name, tmp_path / "a") as one, started(name, tmp_path / "b") as other:
        assert set(one.pids).isdisjoint(other.pids)
        assert one.whole()
        assert other.whole()
        for pid in one.pids:
            listening = {c.laddr.ip for c in psutil.Process(pid).net_connections() if c.status == psutil.CONN_LISTEN}
            assert listening == {"127.0.0.1"}


PARENT = """
    import sys, signal
    from pathlib import Path
    from brokers.programs.catalogue import CLUSTERS
    with CLUSTERS[sys.argv[1]].start(Path(sys.argv[2])) as cluster:
        print(*cluster.pids, flush=True)
        signal.pause()
"""


@pytest.mark.parametrize("name", QUICK)
def test_no_node_is_left_when_fanbench_is_killed(name, tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(PARENT), name, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": "."}) as parent:
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == {"valkey-sentinel": 6, "valkey-cluster": 6, "nats-cluster": 3}[name]
        assert all(alive(pid) for pid in pids)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in pids), "the end of all nodes", 10)


def test_a_cluster_that_cannot_be_whole_is_reported_and_gone(tmp_path):
    with started("valkey-sentinel", tmp_path) as cluster:
        for watcher in cluster.watchers[1:]:
            watcher.kill()
        with pytest.raises(FanbenchError, match=r"valkey-sentinel: all nodes in one cluster: not within 0.5 s"):
            cluster.wait_whole(0.5)
