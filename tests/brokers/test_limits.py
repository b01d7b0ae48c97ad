"""The claims of brokers/limits.py, on the bare product: its own client library, without our adapter."""

import asyncio
import secrets
from pathlib import Path

import aiomqtt
import pytest

from brokers.contenders import find_contender
from brokers.limits import _LIMITS, limit
from brokers.programs.redis_ask import ask, ask_info
from brokers.programs.running import Running
from core.fault import KINDS
from tests.missing import missing
from tests.waiting import wait_until


def started(contender: str, folder: Path) -> Running:
    found = find_contender(contender)
    if not found.runnable:
        missing(f"{contender}: {found.install_hint}")
    return found.started(folder)


def host_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def client(address: str, session: str) -> aiomqtt.Client:
    host, port = host_port(address)
    return aiomqtt.Client(host, port, identifier=session, clean_session=False)


async def first_of(subscriber: aiomqtt.Client) -> bytes:
    async with asyncio.timeout(20):
        async for message in subscriber.messages:
            return bytes(message.payload)
    raise AssertionError("the messages ended")


async def kept_through(end: str, folder) -> bytes:
    """What an absent subscriber with a session receives first after the broker's restart."""
    with started("mosquitto-qos1", folder) as running:
        address = running.listeners["mqtt"]
        async with client(address, "reader") as subscriber:
            await subscriber.subscribe("t", qos=1)
        async with client(address, "writer") as publisher:
            await publisher.publish("t", b"while away", qos=1)
        getattr(running, end)()
        running.start_again()
        async with client(address, "reader") as subscriber, client(address, "writer") as publisher:
            if end == "kill":  # the subscription disappeared with its session
                await subscriber.subscribe("t", qos=1)
            await publisher.publish("t", b"afterwards", qos=1)
            return await first_of(subscriber)


@pytest.mark.usefixtures("integration")
def test_a_primary_of_valkey_acknowledges_what_no_replica_has(tmp_path):
    with started("valkey-streams", tmp_path / "one") as primary, started("valkey-streams", tmp_path / "two") as replica:
        address, other = primary.listeners["redis"], replica.listeners["redis"]
        ask(other, "REPLICAOF", *address.rsplit(":", 1))
        wait_until(lambda: ask_info(other, "INFO", "replication")["master_link_status"] == "up", "it follows", 20)
        replica.pause()
        for _ in range(20):  # more than sockets hold, so that later data waits in the primary, as on a slow link
            ask(address, "SET", "big", "x" * 1_000_000)
        assert ask(address, "XADD", "events", "*", "payload", "acknowledged")
        primary.kill()
        replica.resume()
        ask(other, "REPLICAOF", "NO", "ONE")
        assert ask(other, "XLEN", "events") == 0


@pytest.mark.usefixtures("integration")
async def test_mosquitto_keeps_sessions_over_a_clean_stop_but_not_sigkill(tmp_path):
    assert await kept_through("halt", tmp_path / "halt") == b"while away"
    assert await kept_through("kill", tmp_path / "kill") == b"afterwards"
    assert limit("mosquitto-qos1", "broker-kill")


@pytest.mark.usefixtures("integration")
async def test_mqtt_sends_a_new_session_no_earlier_message(tmp_path):
    with started("mosquitto-qos1", tmp_path) as running:
        address = running.listeners["mqtt"]
        async with client(address, "writer") as publisher, client(address, secrets.token_hex(4)) as subscriber:
            await publisher.publish("t", b"before", qos=1)
            await subscriber.subscribe("t", qos=1)
            await publisher.publish("t", b"after", qos=1)
            assert await first_of(subscriber) == b"after"
    assert limit("mosquitto-qos1", "replica-restart") == limit("mosquitto-qos1", "replica-kill") is not None


def test_limits_are_of_contenders_and_faults_that_there_are_and_of_promises():
    for name, kind in _LIMITS:
        assert find_contender(name).delivery == "at-least-once"
        assert kind in KINDS
