"""Removes what a run creates at a broker, however the run ends; all of it has the run's name in its own name.

`python -m brokers.clean_up FILE` removes it after fanbench itself was killed. The URL is in FILE, which only its owner
can read, because everybody can see a command line.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from brokers.api import Adapter, CleansUp
from brokers.endpoint import RUN_NAME, Endpoint
from brokers.registry import open_endpoint
from core.errors import FanbenchError
from core.process import OWN_PYTHON, when_killed

CLEAN_UP_S = 4.0
"""After Ctrl-C everything must be gone within 5 s."""
_log = logging.getLogger("fanbench.brokers")


def new_run_name() -> str:
    """Return a name that no other run has."""
    return f"fanbench-{secrets.token_hex(6)}"


@contextmanager
def run_on(url: str, delivery: str) -> Iterator[str]:
    """Return the URL with a run's name; on exit, remove everything with this name.

    Return the URL unchanged if the adapter creates nothing. If the URL already has a `run_name`, keep it and remove
    nothing: whoever chose the name is responsible.
    """
    adapter, endpoint = open_endpoint(url, delivery)
    if not isinstance(adapter, CleansUp) or endpoint.get(RUN_NAME):
        yield url
        return
    name = new_run_name()
    named = f"{url}{'&' if '?' in url else '?'}{RUN_NAME.name}={name}"
    path, command = _remember(named, endpoint.delivery)
    call_off = when_killed(command)
    try:
        yield named
    finally:
        clean_up(named, endpoint.delivery)  # the rest is reported: the guard could not remove it either
        call_off()
        path.unlink(missing_ok=True)


def clean_up(url: str, delivery: str) -> bool:
    """Remove everything with the URL's run name, within CLEAN_UP_S; log the rest. Blocks."""
    adapter, endpoint = open_endpoint(url, delivery)
    try:
        asyncio.run(_clean_up(adapter, endpoint))
    except (FanbenchError, TimeoutError) as error:
        why = "no answer" if isinstance(error, TimeoutError) else str(error)
        step = f"remove what begins with {endpoint.prefix} by hand"
        _log.warning("%s: left behind what this run created: %s; %s", endpoint, why, step)
        return False
    return True


async def _clean_up(adapter: Adapter, endpoint: Endpoint) -> None:
    assert isinstance(adapter, CleansUp)
    async with asyncio.timeout(CLEAN_UP_S):
        await adapter.clean_up(replace(endpoint, timeout_s=min(endpoint.timeout_s, CLEAN_UP_S)))


def _remember(url: str, delivery: str) -> tuple[Path, list[str | Path]]:
    """Write a file with the URL; return it and the command that cleans up with it and then deletes it."""
    descriptor, name = tempfile.mkstemp(prefix="fanbench-clean-up-")  # readable only by its owner
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump([url, delivery], file)
    path = Path(name)
    return path, [*OWN_PYTHON, "-m", "brokers.clean_up", path]


def main(argv: list[str]) -> int:
    """Clean up what a file from `run_on` names; exit code 0 if nothing is left to do."""
    path = Path(argv[0])
    try:
        url, delivery = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:  # done
        return 0
    done = clean_up(url, delivery)
    if done:
        path.unlink(missing_ok=True)
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
