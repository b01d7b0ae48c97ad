"""The load's current numbers: the file of `--status`, replaced five times a second."""

from __future__ import annotations

from typing import Literal

from core.contracts.codec import Document


class WorkerUsage(Document):
    """What one worker process has used since its start, according to its last report."""

    name: str
    """As Locust's master calls it: the host's name and an id."""
    cpu_s: float
    rss_bytes: int
    at_s: float
    """When it looked, by a clock of its own that never steps: only differences count."""


class LoadStatus(Document):
    """Sums over all processes of the load."""

    version: Literal[1] = 1
    clients: int = 0
    """Connected now."""
    reached: int = 0
    """Clients that got an event on their current connection."""
    deliveries: int = 0
    """Measured ones so far."""
    reconnects: int = 0
    visitors: int = 0
    """Users that take visits to sessions, where there are sessions."""
    joined: int = 0
    """Workers that the master has, before a test begins too; 0 where there is no master."""
    workers: tuple[WorkerUsage, ...] = ()
    """Those that are there and have told."""
