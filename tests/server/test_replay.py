"""With a storing broker, a restarted replica has earlier events, so its clients lose nothing."""

import asyncio
import time
from pathlib import Path

import pytest

from brokers.contenders import find_contender
from brokers.registry import open_endpoint
from core.stamp import Stamp, encode, new_stream
from tests.server.program import SseClient, running


async def publish(url: str, stream: str, seqs: range) -> None:
    adapter, endpoint = open_endpoint(url)
    now_ns = time.time_ns()
    stamps = [Stamp(stream, seq, "events", "measure", now_ns, now_ns) for seq in seqs]
    async with adapter.producer(endpoint) as producer:
        await asyncio.gather(*(producer.publish("events", encode(stamp)) for stamp in stamps))


@pytest.mark.usefixtures("integration")
def test_a_restart_of_the_only_replica_loses_nothing(folder: Path, tmp_path: Path) -> None:
    stream = new_stream()
    with find_contender("valkey-streams").launched(tmp_path / "broker") as broker:
        with running(folder, broker_url=broker.url) as replica, SseClient(replica.port) as client:
            client.opened()
            asyncio.run(publish(broker.url, stream, range(20)))
            last = client.take_ids(20)[-1]
        asyncio.run(publish(broker.url, stream, range(20, 50)))
        with (
            running(folder, broker_url=broker.url) as replica,
            SseClient(replica.port, headers={"Last-Event-ID": last}) as resumed,
            SseClient(replica.port) as fresh,
        ):
            fresh.opened()
            resumed.opened()
            asyncio.run(publish(broker.url, stream, range(50, 60)))
            assert resumed.take_ids(40) == [f"{stream}-{seq}" for seq in range(20, 60)]
            assert fresh.take_ids(10) == [f"{stream}-{seq}" for seq in range(50, 60)], "what is stored is not new"
            assert replica.stats().holes == 0
