"""Connections to Redis and Valkey leave nothing behind: a replica makes one for each topic whose history it reads."""

import asyncio
import gc

import pytest
import uvloop

from brokers.conformance.faults import polled
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
