"""The table of contenders, and contenders by URL."""

import pytest

from brokers.contenders import all_contenders, find_contender
from brokers.programs.catalogue import PROGRAMS
from brokers.registry import open_endpoint
from core.errors import UsageError

NAMES = {
    "memory",
    "valkey",
    "valkey-streams",
    "redis",
    "redis-streams",
    "rabbitmq",
    "rabbitmq-confirms",
    "rabbitmq-stream",
    "rabbitmq-mqtt",
    "mosquitto",
    "mosquitto-qos1",
    "nats",
    "nats-jetstream",
    "nats-mqtt",
    "postgres",
    "postgres-outbox",
}


def test_every_contender_of_the_readme_is_there():
    names = [contender.name for contender in all_contenders()]
    assert set(names) == NAMES
    assert len(names) == len(set(names))


@pytest.mark.parametrize("contender", all_contenders(), ids=lambda c: c.name)
def test_each_contender_has_a_program_and_an_adapter_that_makes_its_promise(contender):
    assert contender.program is None or contender.program in PROGRAMS
    adapter, endpoint = open_endpoint(contender.url.replace("{", "").replace("}", ""), contender.delivery)
    assert endpoint.delivery == contender.delivery
    assert contender.file_name == contender.name
    stored = ("streams", "jetstream", "rabbitmq-stream", "postgres-outbox")
    assert adapter.replay is contender.name.endswith(stored)


def test_the_floor_and_one_contender_of_each_program_are_primary():
    primary = [contender for contender in all_contenders() if contender.primary]
    assert [c.name for c in primary if c.program is None] == ["memory"]
    assert sorted(c.program for c in primary if c.program) == sorted(PROGRAMS)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'valkey'"):
        find_contender("valky")


@pytest.mark.parametrize(
    ("url", "name", "delivery"),
    [
        ("amqp://guest:hunter2@broker:5672/prod", "amqp://broker:5672/prod", "at-most-once"),
        ("mqtt://broker?qos=1", "mqtt://broker at-least-once", "at-least-once"),
        ("redis+streams://:hunter2@broker", "redis+streams://broker", "at-least-once"),
    ],
)
def test_a_url_is_a_contender_without_user_and_password(url, name, delivery):
    contender = find_contender(url)
    assert (contender.name, contender.delivery, contender.url) == (name, delivery, url)
    assert "hunter2" not in contender.name + contender.file_name + repr(contender)
    assert contender.runnable
    assert not contender.embedded
    assert "/" not in contender.file_name


def test_a_url_with_an_unknown_scheme_is_refused():
    with pytest.raises(UsageError, match="unknown scheme"):
        find_contender("kafka2://h")
