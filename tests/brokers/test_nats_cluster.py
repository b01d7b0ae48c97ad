"""JetStream on three nodes: the death of the node with a replica's consumer, and of the node with its connection."""

import asyncio
import contextlib
import json
import re
from contextlib import AsyncExitStack, contextmanager

import nats
import pytest

from brokers.conformance.workbench import reading
from brokers.errors import BrokerError
from brokers.programs.catalogue import PROGRAMS
from brokers.programs.probe import answers
from brokers.programs.running import Running, launch
from brokers.registry import open_endpoint
from core.ports import free_ports
from core.process import spawn

pytestmark = pytest.mark.usefixtures("integration")
NODES = ("n0", "n1", "n2")
DEADLINE_S = 40.0
"""An election takes seconds, and more on a busy machine."""


def _node(folder, name, port, route, routes):
    folder.mkdir()
    config = folder / "nats.conf"
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "server_name": name,
        "server_tags": ["kept"],
        "jetstream": {"store_dir": str(folder / "data")},
        "cluster": {"name": "c", "listen": f"127.0.0.1:{route}", "routes": routes},
    }
    config.write_text(json.dumps(settings))
    command = [PROGRAMS["nats"].require(), "-c", config]
    return Running(
        name="nats",
        listeners={},
        data=folder / "data",
        spawn=lambda: spawn("nats", command, folder / "nats.log"),
        ready=lambda: answers(port, [(b"", b"INFO ")]),
    )


@contextmanager
def cluster(folder):
    """Three nodes by name, and their addresses."""
    ports = free_ports(6)
    routes = [f"nats://127.0.0.1:{port}" for port in ports[3:]]
    with contextlib.ExitStack() as stack:
        nodes = {
            name: stack.enter_context(launch(_node(folder / name, name, ports[i], ports[3 + i], routes)))
            for i, name in enumerate(NODES)
        }
        yield nodes, dict(zip(NODES, (f"127.0.0.1:{port}" for port in ports), strict=False))


async def _connected(stack, side, endpoint):
    """Connect a side; a cluster that has just started has no leader yet."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await stack.enter_async_context(side(endpoint))
            except BrokerError as error:
                if not error.transient:
                    raise


async def _published(producer, taken):
    with contextlib.suppress(BrokerError):
        payload = b"%d" % len(taken)
        await producer.publish("t", payload)
        taken.append(payload)
    await asyncio.sleep(0.02)


async def _flows(producer, taken, reader):
    before = len(reader.messages)
    async with asyncio.timeout(DEADLINE_S):
        while len(reader.messages) < before + 20:
            await _published(producer, taken)
    await reader.until(lambda: taken[-1] in reader.payloads, "the last that was acknowledged")


async def _consumer_elsewhere(stack, adapter, endpoint, client, nodes=("n1", "n2")):
    """A consumer on one of these nodes that is connected to another; the server places it at random."""
    for _ in range(30):
        async with AsyncExitStack() as trial:
            consumer = await _connected(trial, adapter.consumer, endpoint)
            (facts,) = [c for c in await client.jetstream().consumers_info("fanbench") if c.push_bound]
            if facts.cluster.leader in nodes:
                stack.push_async_exit(trial.pop_all())
                return consumer, facts.cluster.leader
        async with asyncio.timeout(DEADLINE_S):
            while await client.jetstream().consumers_info("fanbench"):
                await asyncio.sleep(0.1)
    raise AssertionError(f"the consumer was never on {nodes}")


async def test_the_node_that_holds_the_consumer_dies(tmp_path):
    with cluster(tmp_path) as (nodes, addresses):
        adapter, endpoint = open_endpoint(
            f"nats+js://{addresses['n0']}?replicas=3&placement_tags=kept&placement_cluster=c"
        )
        async with AsyncExitStack() as stack:
            producer = await _connected(stack, adapter.producer, endpoint)
            client = await nats.connect(f"nats://{addresses['n0']}")
            stack.push_async_callback(client.close)
            config = (await client.jetstream(timeout=5).stream_info("fanbench")).config
            assert (config.num_replicas, config.placement.tags) == (3, ["kept"])
            consumer, holder = await _consumer_elsewhere(stack, adapter, endpoint, client)
            await consumer.subscribe("t")
            reader = await stack.enter_async_context(reading(consumer))
            taken = []
            await _flows(producer, taken, reader)
            nodes[holder].kill()
            await _flows(producer, taken, reader)
            assert reader.payloads.count(taken[0]) == 1
            assert not {*taken} - {*reader.payloads}
            assert [payload for payload in reader.payloads if reader.payloads.count(payload) > 1] == []


def _meta_leader(folder):
    """The leader of JetStream's own group, according to the nodes' logs."""
    found = []
    for name in NODES:
        for line in (folder / name / "nats.log").read_text().splitlines():
            match = re.search(r"(\S+ \S+) \[INF\] JetStream cluster (new metadata leader: (\w+)/|no metadata)", line)
            if match or "Self is new JetStream cluster metadata leader" in line:
                found.append((line[line.index("] ") + 2 :], match[3] if match else name))
    return max(found)[1]


async def test_during_an_election_messages_are_read_without_a_consumer(tmp_path):
    """The consumer's node led JetStream's own group, so nobody can start another consumer before the election."""
    with cluster(tmp_path) as (nodes, addresses):
        async with AsyncExitStack() as stack:
            first = await nats.connect(f"nats://{addresses['n0']}")
            stack.push_async_callback(first.close)
            js = first.jetstream(timeout=5)
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    with contextlib.suppress(nats.errors.Error):
                        await js.add_stream(name="fanbench", subjects=["fanbench.>"], num_replicas=3)
                        break
                    await asyncio.sleep(0.2)
                victim = _meta_leader(tmp_path)
                while (await js.stream_info("fanbench")).cluster.leader in (victim, None):
                    await first.request("$JS.API.STREAM.LEADER.STEPDOWN.fanbench", b"", timeout=5)
                    await asyncio.sleep(1)
            home = next(name for name in NODES if name != victim)
            client = await nats.connect(f"nats://{addresses[home]}")
            stack.push_async_callback(client.close)
            adapter, endpoint = open_endpoint(f"nats+js://{addresses[home]}")
            producer = await _connected(stack, adapter.producer, endpoint)
            consumer, _ = await _consumer_elsewhere(stack, adapter, endpoint, client, {victim})
            await consumer.subscribe("t")
            reader = await stack.enter_async_context(reading(consumer))
            taken, asked = [], []
            await _flows(producer, taken, reader)
            before = len(reader.messages)

            async def note(_):
                asked.append((_meta_leader(tmp_path), len(reader.messages)))

            await client.subscribe("$JS.API.CONSUMER.CREATE.>", cb=note)
            nodes[victim].kill()
            async with asyncio.timeout(DEADLINE_S):
                while not asked or _meta_leader(tmp_path) == victim or reader.payloads[-1] != taken[-1]:
                    await _published(producer, taken)
            await _flows(producer, taken, reader)
            assert reader.payloads == [payload for payload in taken if payload in {*reader.payloads}]
            assert not {*taken} - {*reader.payloads}
            assert not reader.gaps
            if asked[0][0] == victim:  # otherwise this machine was slower than the election
                assert asked[-1][1] > before


async def test_the_other_nodes_are_found_when_the_one_in_the_url_dies(tmp_path):
    with cluster(tmp_path) as (nodes, addresses):
        adapter, endpoint = open_endpoint(f"nats+js://{addresses['n0']}?replicas=3")
        async with AsyncExitStack() as stack:
            producer = await _connected(stack, adapter.producer, endpoint)
            consumer = await _connected(stack, adapter.consumer, endpoint)
            await consumer.subscribe("t")
            reader = await stack.enter_async_context(reading(consumer))
            taken = []
            await _flows(producer, taken, reader)
            nodes["n0"].kill()
            await _flows(producer, taken, reader)
            assert not {*taken} - {*reader.payloads}
