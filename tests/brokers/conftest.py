"""Brokers for the tests: each program runs once for all of them."""

from brokers.conformance.fixtures import broker, running_programs

__all__ = ["broker", "running_programs"]
