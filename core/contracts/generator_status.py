"""Generators that run elsewhere and have joined: the file `FANBENCH_STATUS`, replaced five times a second."""

from __future__ import annotations

from typing import Literal

from core.contracts.codec import Document
from core.contracts.load_status import WorkerUsage


class GeneratorStatus(Document):
    """Of one run."""

    version: Literal[1] = 1
    joined: int = 0
    """Generators that take part."""
    connected: int = 0
    """Those of them that have reached the broker."""
    members: tuple[WorkerUsage, ...] = ()
    """What those that have reported have used since they were started."""
