"""Which broker a container chooses by the names that it sees."""

import importlib.util
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
_spec = importlib.util.spec_from_file_location("entrypoint", ROOT / "deploy" / "entrypoint.py")
assert _spec is not None
assert _spec.loader is not None
entrypoint = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(entrypoint)

SETTLED_S, BESIDE_LOCUST_S = entrypoint.SETTLE_S, entrypoint.SETTLE_BESIDE_LOCUST_S


@pytest.mark.parametrize(
    ("present", "answering", "waited_s", "chosen"),
    [
        ("", "", SETTLED_S, None),
        ("rabbitmq", "", SETTLED_S, None),
        ("rabbitmq", "rabbitmq", 0.0, "rabbitmq"),
        ("redis", "redis", 0.0, None),
        ("redis", "", SETTLED_S, None),
        ("redis", "redis", SETTLED_S, "redis"),
        # `--profile rabbitmq --profile load`: Redis answers first but is not used.
        ("redis rabbitmq", "redis", SETTLED_S, None),
        ("redis rabbitmq", "redis rabbitmq", 0.0, "rabbitmq"),
        ("redis nats", "redis nats", SETTLED_S, "nats"),
        # Nine containers take a while: with Locust, RabbitMQ's name may appear late.
        ("redis locust", "redis locust", SETTLED_S, None),
        ("redis locust", "redis", BESIDE_LOCUST_S, "redis"),
        ("redis locust rabbitmq", "redis rabbitmq", SETTLED_S, "rabbitmq"),
    ],
)
def test_the_broker_is_the_one_whose_profile_is_active(present, answering, waited_s, chosen):
    assert entrypoint.choose(set(present.split()), set(answering.split()), waited_s) == chosen


def test_each_url_is_of_an_adapter_and_names_its_service():
    from brokers.registry import open_endpoint

    for name, url in entrypoint.BROKERS.items():
        _, endpoint = open_endpoint(url)
        assert [(address.host, address.port) for address in endpoint.hosts] == entrypoint.hosts(url)
        assert all(address.host in SERVICES and address.host.startswith(name) for address in endpoint.hosts)
