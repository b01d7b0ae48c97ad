"""The kit, on the forwarder that ZMQ_URL names: `ZMQ_URL=zmq://host:port pytest`."""

import os

from brokers.sdk.testing import Conformance


class TestZmq(Conformance):
    contender = os.environ.get("ZMQ_URL", "zmq://127.0.0.1:5555")
