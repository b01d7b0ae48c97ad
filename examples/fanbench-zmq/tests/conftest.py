"""The kit's fixtures: `broker` is what each of its tests is given."""

from brokers.sdk.testing import broker, running_programs

__all__ = ["broker", "running_programs"]
