"""The servers of examples/per-client-server, which replace our replicas for anti-patterns."""

from __future__ import annotations

from brokers.extras import extra_missing
from core.resources import resource_folder

EXTRA = "anti-patterns"


def server_missing() -> str | None:
    """Why none of them can run here, and what to do; None if they can."""
    folder = resource_folder("per-client-server")
    if not (folder / "__main__.py").is_file():
        return f"its server is not installed: {folder} is missing; use fanbench's checkout or its wheel"
    return extra_missing("fanbench", EXTRA)


def server_arguments(server: str) -> tuple[str, str]:
    """Python's arguments to run one of them."""
    return str(resource_folder("per-client-server")), server
