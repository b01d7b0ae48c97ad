"""Waits until every client of a run is connected, and says what became of those that are not."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from core.contracts.load_status import LoadStatus
from core.errors import TransientError
from core.process import Child
from harness.runner.polling import poll_growth
from harness.runner.processes import Load
from harness.runner.testbed import Testbed


def wait_connected(testbed: Testbed, longest_s: float) -> int:
    """Wait until the replicas count every client; return their number. The time that it took becomes a figure of the run.

    Raises:
        TransientError: no further client connected for `longest_s` seconds. FanbenchError: a program ended.
    """
    began_s, alive = time.monotonic(), testbed.alive()
    with told_what_is_missing(testbed.load, alive, testbed.scenario.clients):
        connected = poll_growth("clients connected", longest_s, testbed.connected, testbed.scenario.clients, alive)
    testbed.figures["connecting_s"] = round(time.monotonic() - began_s, 3)
    return connected


@contextmanager
def told_what_is_missing(load: Load, alive: Sequence[Child], wanted: int | None = None) -> Iterator[None]:
    """Within this block clients connect, `wanted` in all. If they take too long, the error also says what those do that are not connected.

    Raises:
        TransientError: they took too long, or one of the children in `alive` ended.
    """
    try:
        yield
    except TransientError as error:
        if any(child.returncode is not None for child in alive):
            raise
        raise TransientError(f"{error}; {not_connected(load.status(), wanted)}") from error


@contextmanager
def told_what_generator_said(generators: Sequence[Child]) -> Iterator[None]:
    """Within this block clients wait for events. If none comes, the error also says what a generator complained of.

    Raises:
        TransientError: no event came in time.
    """
    try:
        yield
    except TransientError as error:
        said = next((child.last_words(1) for child in generators if child.has_logged()), "")
        if not said:
            raise
        raise TransientError(f"{error}; of the generator, {said}") from error


def not_connected(status: LoadStatus, wanted: int | None = None) -> str:
    """What the clients of the load that have no connection do, or where they are if all are connected, and the next step."""
    if wanted is not None and status.clients >= wanted:
        return (
            f"the load has {status.clients} connected clients, which is more than the replicas count: its addresses lead to other replicas, "
            "too; name each replica behind --clients-at in --replicas-at"
        )
    return (
        f"of the load's clients {status.clients} are connected, {status.connecting} have asked for a stream and have no answer yet, "
        f"{status.waiting} wait for their turn, as fewer at a time connect where answers come late, and the others failed and try again; if "
        "the cores are full, lower --clients, else see the logs of load and replicas"
    )
