"""ZeroMQ for fanbench: `adapter` is what the entry point names."""

from fanbench_zmq.adapter import adapter

__all__ = ["adapter"]
