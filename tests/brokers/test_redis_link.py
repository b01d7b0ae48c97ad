"""Connections to Redis and Valkey leave nothing behind, and the histories of all topics share one."""

import asyncio
import gc
import time

import pytest
import uvloop

from brokers.conformance.faults import polled
from brokers.conformance.workbench import reading
from brokers.contenders import find_contender
from brokers.redis_answers import BoundedReader
from brokers.redis_feed import RedisFeed
from brokers.redis_link import ask, close, open_connection
from brokers.registry import open_endpoint
from tests.redis_ask import ask as ask_directly


def readers():
    return sum(isinstance(one, BoundedReader) for one in gc.get_objects())


@pytest.mark.usefixtures("integration")
async def test_a_closed_connection_keeps_no_buffers_until_a_collection(tmp_path):
    with find_contender("valkey").launched(tmp_path) as broker:
        _, endpoint = open_endpoint(broker.url, None)
        gc.collect()
        before = readers()
        gc.disable()
        try:
            for _ in range(5):
                connection = await open_connection(endpoint)
                assert await ask(connection, "PING") == b"PONG"
                await close(connection)
                del connection
            assert readers() == before
        finally:
            gc.enable()


@pytest.mark.usefixtures("integration")
def test_a_publish_into_a_just_closed_connection_does_not_end_the_program(tmp_path):
    """The generator publishes each event between two turns of the event loop: the loss of the connection is reported later."""
    uvloop.run(_flush_after_the_end(tmp_path), debug=False)


async def _flush_after_the_end(folder):
    with find_contender("valkey").launched(folder) as broker:
        _, endpoint = open_endpoint(broker.url, None)
        feed = RedisFeed(connection := await open_connection(endpoint), lambda answer: None)
        ask_directly(endpoint.port, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await polled(lambda: feed.ended, "the end of the connection")
        await asyncio.sleep(0)  # uvloop closes the transport after it has reported the end
        feed.write(b"PING\r\n")
        feed.flush()
        await close(connection)


@pytest.mark.usefixtures("integration")
async def test_the_histories_of_all_topics_share_a_connection_which_is_made_again_when_lost(tmp_path):
    """Without recent entries at hand, as after 100,000 of them, each new topic reads the stream's past."""
    with find_contender("valkey").launched(tmp_path) as broker:
        adapter, endpoint = open_endpoint(f"{broker.url.replace('redis:', 'redis+streams:')}?stream=past&recent=0")
        topics = [f"t{number}" for number in range(6)]
        since_ns = time.time_ns() - 60 * 10**9
        async with (
            adapter.producer(endpoint) as producer,
            adapter.consumer(endpoint) as consumer,
            reading(consumer) as reader,
        ):
            for topic in topics:
                await producer.publish(topic, topic.encode())
            await polled(lambda: consumer.feed.position > b"0-0", "the entries")
            await consumer.subscribe(topics[0], since_ns=since_ns)
            (history,) = _readers_of_history(endpoint.port)
            await asyncio.gather(*(consumer.subscribe(topic, since_ns=since_ns) for topic in topics[1:4]))
            assert _readers_of_history(endpoint.port) == [history]
            ask_directly(endpoint.port, "CLIENT", "KILL", "ID", history)
            for topic in topics[4:]:
                await consumer.subscribe(topic, since_ns=since_ns)
            (another,) = _readers_of_history(endpoint.port)
            assert another != history
            await polled(lambda: len(reader.payloads) == len(topics), "all histories")
            assert {*reader.payloads} == {topic.encode() for topic in topics}
        await polled(lambda: not _readers_of_history(endpoint.port), "the end of the connection")


def _readers_of_history(port):
    lines = ask_directly(port, "CLIENT", "LIST").splitlines()
    clients = [dict(word.split("=", 1) for word in line.split()) for line in lines]
    return [client["id"] for client in clients if client["cmd"] == "xrange"]
