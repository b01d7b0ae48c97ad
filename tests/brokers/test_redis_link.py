"""Connections to Redis and Valkey leave nothing behind: a replica makes one for each topic whose history it reads."""

import gc

import pytest

from brokers.contenders import find_contender
from brokers.redis_answers import BoundedReader
from brokers.redis_link import ask, close, open_connection
from brokers.registry import open_endpoint


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
