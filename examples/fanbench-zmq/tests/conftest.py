"""The kit's fixtures; each of its tests uses `broker`."""

from brokers.sdk.testing import broker, running_programs

__all__ = ["broker", "running_programs"]
