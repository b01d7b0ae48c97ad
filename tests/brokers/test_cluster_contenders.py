"""Contenders with several nodes: their table, and the settings that a user may give."""

import pytest

from brokers.contenders import all_contenders, cluster_contenders, find_contender
from brokers.programs.catalogue import CLUSTERS
from brokers.programs.redis_cluster import slot_of
from brokers.registry import open_endpoint
from core.errors import UsageError


@pytest.mark.parametrize("contender", cluster_contenders(), ids=lambda c: c.name)
def test_each_has_a_cluster_and_an_adapter_that_makes_its_promise(contender):
    assert contender.program in CLUSTERS
    assert contender.clustered
    nodes = "127.0.0.1:4001,127.0.0.1:4002"
    url = contender.url.format_map({"redis": nodes, "sentinel": nodes, "nats": nodes, "mqtt": nodes, "amqp": nodes})
    _, endpoint = open_endpoint(url, contender.delivery)
    assert endpoint.delivery == contender.delivery
    assert len(endpoint.hosts) == 2
    assert contender.settings == {setting.name: setting.default for setting in CLUSTERS[contender.program].settings}


def test_names_are_unique():
    names = [contender.name for contender in (*all_contenders(), *cluster_contenders())]
    assert len(names) == len(set(names))
    assert not any(contender.clustered for contender in all_contenders())


def test_a_setting_changes_the_cluster_and_stays_in_the_name():
    contender = find_contender("valkey-sentinel?down_after_ms=5000")
    assert contender.name == "valkey-sentinel?down_after_ms=5000"
    assert contender.settings["down_after_ms"] == 5000
    assert contender.settings["min_replicas_to_write"] == 0
    assert "?" not in contender.file_name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("valkey-sentinel?down_after=5", "no setting 'down_after'; did you mean 'down_after_ms'"),
        ("valkey-sentinel?down_after_ms=soon", "down_after_ms=soon: not a whole number; its default is 1000"),
        ("valkey-sentinel?down_after_ms=", "not a whole number"),
        ("valkey-sentinel?down_after_ms=-1", "down_after_ms=-1: give 1 to "),
        ("valkey-sentinel?down_after_ms=0", "down_after_ms=0: give 1 to "),
        ("valkey-sentinel?fsync_every_s=5", "fsync_every_s=5: give 0 to 1: 0: sync the append-only file"),
        ("valkey-sentinel?min_replicas_to_write=3", "give 0 to 2"),
        ("rabbitmq-cluster?partition_handling=7", "give 0 to 2: 0: ignore; 1: pause_minority; 2: autoheal"),
        ("valkey?down_after_ms=5000", "valkey has no settings; leave out"),
        ("valkey-sentinal", "did you mean 'valkey-sentinel'"),
    ],
)
def test_an_impossible_setting_is_refused(name, words):
    with pytest.raises(UsageError, match=words.replace("?", r"\?")):
        find_contender(name)


def test_a_cluster_is_not_quietly_run_without_docker_where_docker_was_asked_for():
    with pytest.raises(
        UsageError, match=r"'nats-cluster': a cluster runs as local programs only; leave out `--launch docker`"
    ):
        find_contender("nats-cluster").launched_by("docker").require_runnable()


@pytest.mark.parametrize(
    ("key", "slot"),
    [("123456789", 12739), ("foo", 12182), ("{user1000}.following", 3443), ("{user1000}.followers", 3443)],
)
def test_slots_are_those_of_the_specification(key, slot):
    assert slot_of(key) == slot
