"""Needs of three nodes: which contenders have a cluster, and whether its clients' silence is too long."""

from pathlib import Path

import pytest

from core.errors import UsageError
from harness.analysis.stored_results import load_all
from harness.choose.choose import choose
from harness.choose.failover_queries import forms_of
from harness.choose.fault_queries import parse_silence_s
from harness.choose.needs import Needs, parse_needs
from harness.choose.wording import in_words
from tests.harness import made_up
from tests.harness.choose.test_choose import stored

FIVE = range(1, 6)


def silent(contender: str, kind: str, seconds: float, delivery: str = "at-most-once"):
    return [
        made_up.fault_run(contender, kind, round=n, silence_ms=1000 * seconds + 10 * n, delivery=delivery) for n in FIVE
    ]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("results")
    names = ("valkey", "nats", "mosquitto", "redis")
    stored(parent, "broadcast", [made_up.run(name, n) for n in FIVE for name in names])
    faults = silent("valkey-sentinel", "leader-kill", 6) + silent("valkey-cluster", "leader-kill", 3)
    faults += silent("valkey-cluster-classic", "leader-kill", 3) + silent("nats-cluster", "connected-node-kill", 0.02)
    faults += silent("nats-cluster", "rolling-restart", 0.5) + silent("redis-sentinel", "leader-kill", 6)
    stored(parent, "faults", faults)
    return parent


def chosen(results: Path, **needs: object):
    answer = choose(Needs(**needs), load_all([results]))
    left = {judged.contender: judged.reasons for groups in answer.left.values() for group in groups for judged in group}
    return left, {judged.contender: judged.reasons for judged in answer.ruled_out}, answer


def test_three_nodes_rule_out_what_has_no_cluster_and_what_is_silent_for_too_long(results: Path) -> None:
    left, out, answer = chosen(results, nodes=3, max_silence="5s")
    assert set(left) == {"valkey", "nats"}
    assert out["mosquitto"] == ("fanbench knows no cluster of it, and 3 nodes are required",)
    (reason,) = out["redis"]
    assert reason.startswith("as redis-sentinel silent for 6.03 s in leader-kill")
    assert "5s is the limit" in reason
    assert any(reason.startswith("not as valkey-sentinel: ") for reason in left["valkey"])
    # The worst fault of nodes counts.
    assert any("as nats-cluster silent for 0.53 s in rolling-restart" in reason for reason in left["nats"])
    assert "Ruled out" in in_words(answer, Needs(nodes=3, max_silence="5s"))


def test_an_unmeasured_figure_is_reported_with_its_command(results: Path) -> None:
    answer = choose(Needs(nodes=3), load_all([next(results.glob("*broadcast"))]))
    (gap,) = [gap for gap in answer.not_measured if "nats-cluster" in gap.what]
    assert gap.command is not None
    assert " nats-cluster " in gap.command.command
    assert gap.command.command.endswith("--fault leader-kill --fault connected-node-kill --rounds 5")
    assert gap.command.minutes > 1


def test_one_node_asks_nothing_of_clusters_and_names_none(results: Path) -> None:
    left, out, answer = chosen(results)
    assert set(left) == {"valkey", "nats", "mosquitto", "redis"}
    assert not out
    assert "cluster" not in " ".join(gap.what for gap in answer.not_measured)


@pytest.mark.parametrize(("text", "seconds"), [("5s", 5.0), ("800ms", 0.8), ("1.5 s", 1.5), ("", None)])
def test_a_silence_is_a_time(text: str, seconds: float | None) -> None:
    assert parse_silence_s(text) == seconds


@pytest.mark.parametrize("text", ["5", "soon", "-1s", "5m"])
def test_an_invalid_time_is_refused(results: Path, text: str) -> None:
    with pytest.raises(UsageError, match="not a duration; write 5s or 800ms"):
        choose(Needs(nodes=3, max_silence=text), load_all([results]))


def test_nodes_are_one_or_three() -> None:
    with pytest.raises(UsageError, match="nodes"):
        parse_needs(None, {"nodes": 2})


def test_each_program_but_mosquitto_has_a_cluster() -> None:
    assert forms_of("valkey") == ["valkey-sentinel", "valkey-cluster", "valkey-cluster-classic"]
    assert forms_of("nats-jetstream") == ["nats-jetstream-r3"]
    assert forms_of("mosquitto") == []
