"""The load's current numbers: the file of `--status`, replaced five times a second."""

from __future__ import annotations

from typing import Literal

from core.contracts.codec import Document


class WorkerUsage(Document):
    """What one worker process has used since its start, according to its last report."""

    name: str
    """Its name at Locust's master: the host's name and an id."""
    cpu_s: float
    rss_bytes: int
    at_s: float
    """The time of the report on a clock that never steps; only differences count."""


class LoadStatus(Document):
    """Sums over all processes of the load."""

    version: Literal[1] = 1
    clients: int = 0
    """Connected now."""
    connecting: int = 0
    """Attempts to connect that are under way."""
    waiting: int = 0
    """Clients that wait for their turn to connect."""
    reached: int = 0
    """Clients that got an event on their current connection."""
    deliveries: int = 0
    """Measured deliveries so far."""
    reconnects: int = 0
    visitors: int = 0
    """Users that visit sessions, if there are sessions."""
    joined: int = 0
    """Workers of the master, also before a test; 0 without a master."""
    workers: tuple[WorkerUsage, ...] = ()
    """Workers that are connected and have reported."""
