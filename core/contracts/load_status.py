"""The load's current numbers: the file of `--status`, replaced five times a second."""

from __future__ import annotations

from typing import Literal

from core.contracts.codec import Document


class LoadStatus(Document):
    """Over all processes of the load."""

    version: Literal[1] = 1
    clients: int = 0
    """Connected now."""
    reached: int = 0
    """Clients that got an event on their current connection."""
    deliveries: int = 0
    """Measured ones so far."""
    reconnects: int = 0
    visitors: int = 0
    """Users that take visits to sessions, if there are sessions."""
