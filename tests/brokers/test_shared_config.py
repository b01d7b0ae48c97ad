"""A cluster's settings have one source: docker compose and the local nodes use the files in deploy/."""

import json
from pathlib import Path

import pytest
import yaml

from brokers.programs.catalogue import CLUSTERS
from brokers.programs.cluster_program import Blueprint
from brokers.programs.finding import on_path
from brokers.programs.networks import Loopback
from brokers.programs.shared_config import read_shared
from tests.missing import missing

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SENTINEL = ["redis/nodes.conf", "redis/sentinel.conf"]
FILES = {
    "valkey-sentinel": SENTINEL,
    "redis-sentinel": SENTINEL,
    "valkey-cluster": ["redis/nodes.conf", "redis/cluster.conf"],
    "nats-cluster": ["nats/cluster.conf"],
    "rabbitmq-cluster": ["rabbitmq/cluster.conf"],
}


def built(name, folder, **chosen):
    """The configuration files for a cluster's local nodes, without starting them."""
    program = CLUSTERS[name]
    if name == "rabbitmq-cluster" and on_path("epmd") is None:
        missing("epmd, which comes with RabbitMQ, is not installed; run `make brokers`")
    values = {setting.name: setting.default for setting in program.settings} | chosen
    program.build(Blueprint(name, Path("/bin/true"), folder, folder, ["jetstream"], values, Loopback()))
    return {path: path.read_text() for path in folder.rglob("*.conf")}


def settings_of(text):
    """The name and value of each line of a file; for JSON, which NATS nodes get, those of all objects."""
    if text.startswith("{"):
        found = json.loads(text)
        return {**found, **found["jetstream"]}
    pairs = (line.replace(" = ", " ").rpartition(" ") for line in text.splitlines())
    return {setting: value for setting, _, value in pairs}


@pytest.mark.parametrize("name", FILES)
def test_a_local_node_has_the_settings_of_the_containers(name, tmp_path):
    found = [settings_of(text) for text in built(name, tmp_path).values()]
    for file in FILES[name]:
        for setting, value in read_shared(file).items():
            start = setting.partition("@")[0].strip()  # before the address of a primary
            values = {str(value) for node in found for key, value in node.items() if key.startswith(start)}
            assert values == {value.strip('"') if name == "nats-cluster" else value}, f"{file}: {setting}"


@pytest.mark.parametrize("name", FILES)
def test_the_containers_have_the_shared_files(name):
    nodes = [service for key, service in SERVICES.items() if key.startswith(name) and "form" not in key]
    assert len(nodes) == (3 if name in ("nats-cluster", "rabbitmq-cluster") else 6)
    for service in nodes:
        mounted = [volume.removeprefix("./deploy/").partition(":")[0] for volume in service["volumes"]]
        assert all(file in mounted or str(Path(file).parent) in mounted for file in FILES[name])


def test_the_users_choice_wins(tmp_path):
    found = built("valkey-sentinel", tmp_path, down_after_ms=5000, min_replicas_to_write=1).values()
    assert sum("sentinel down-after-milliseconds fanbench 5000\n" in text for text in found) == 3
    assert sum("min-replicas-to-write 1\n" in text for text in found) == 3
    assert not any("down-after-milliseconds fanbench 1000" in text for text in found)
