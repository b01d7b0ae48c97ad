"""The claims of brokers/limits.py about the death of a NATS cluster's leader, with nats-py and aiomqtt alone."""

import asyncio
import os
import time
from contextlib import suppress

import aiomqtt
import nats
import pytest

from brokers.programs.catalogue import CLUSTERS

pytestmark = [pytest.mark.usefixtures("integration"), pytest.mark.timeout(300), pytest.mark.soak]
DEADLINE_S = 60
LEAST_S = 2.5
"""The shortest time-out of an election is 4 s, counted from the last heartbeat, of which one comes every second."""


def started(tmp_path, feature):
    program = CLUSTERS["nats-cluster"]
    if program.find() is None:
        report = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        report(program.install_hint)
    return program.start(tmp_path, [feature])


async def test_a_stream_takes_nothing_for_seconds_after_its_leaders_death(tmp_path):
    with started(tmp_path, "jetstream") as cluster:
        addresses = cluster.listeners["nats"].split(",")
        connection = await nats.connect([f"nats://{address}" for address in addresses])
        stream = connection.jetstream()
        await stream.add_stream(name="fanbench", subjects=["there"], num_replicas=3)
        await stream.publish("there", b"before")
        leader = await asyncio.to_thread(cluster.leader, ["jetstream"], "there")
        leader.kill()
        killed_s = time.monotonic()
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with suppress(nats.errors.Error):
                    await stream.publish("there", b"after", timeout=0.5)
                    break
                await asyncio.sleep(0.1)
        assert time.monotonic() - killed_s > LEAST_S
        await connection.close()


async def test_mqtt_takes_no_client_for_seconds_after_the_death_of_the_node_that_leads_its_sessions(tmp_path):
    with started(tmp_path, "mqtt") as cluster:
        leader = await led(cluster.nodes)
        other = next(node for node in cluster.nodes if node is not leader)
        port = int(other.listeners["mqtt"].rpartition(":")[2])
        leader.kill()
        killed_s = time.monotonic()
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with suppress(aiomqtt.MqttError):
                    # aiomqtt waits forever if a server hangs up instead of answering.
                    async with aiomqtt.Client("127.0.0.1", port, timeout=2):
                        break
                await asyncio.sleep(0.1)
        assert time.monotonic() - killed_s > LEAST_S


async def led(nodes):
    """The leader of the stream in which the server stores the sessions of MQTT clients."""
    async with aiomqtt.Client("127.0.0.1", int(nodes[0].listeners["mqtt"].rpartition(":")[2]), timeout=DEADLINE_S):
        connection = await nats.connect(f"nats://{nodes[0].listeners['nats']}")
        name = (await connection.jetstream().stream_info("$MQTT_sess")).cluster.leader
        await connection.close()
    return next(node for node in nodes if name.endswith(node.listeners["nats"].rpartition(":")[2]))
