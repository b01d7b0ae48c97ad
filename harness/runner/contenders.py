"""Selects the contenders of a command: the named ones, or those that can run here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from brokers.contender import Contender
from brokers.contenders import all_contenders, cluster_contenders, find_contender
from brokers.endpoint_contenders import endpoint_contender, require_endpoint_answers
from brokers.programs.catalogue import Launch
from brokers.registry import open_endpoint
from core.errors import FanbenchError, UsageError
from harness.runner.deployment import Deployment


def choose_contenders(
    names: Sequence[str],
    every: bool,
    launch: Launch = "auto",
    *,
    clusters: bool = False,
    deployment: Deployment | None = None,
    transports: Sequence[str] = ("sse",),
    endpoints: Sequence[str] = (),
) -> list[Contender]:
    """Return the named contenders.

    Without names, all that can run here (`every`), or the floor and one of each program. With `clusters`, return those
    of several nodes instead of one. `endpoints` are names or paths of endpoint files, which are added at the end. With
    a `deployment`, all must be brokers at URLs. With `launch="docker"`, either every program can run here, or none can, which
    is an error.

    Raises:
        UsageError: a name is unknown, its program is not installed, Docker does not answer, an image is not available,
            or the broker at a URL does not answer; the deployment does not support one of them, or these transports.
    """
    if deployment is not None:
        deployment.require_usable([find_contender(name) for name in names], transports)
    usual = cluster_contenders() if clusters else [c for c in all_contenders() if every or c.primary]
    chosen = [find_contender(name) for name in names] or usual
    chosen = [contender.launched_by(launch) for contender in chosen]
    if not names and launch != "docker":
        chosen = [contender for contender in chosen if contender.runnable]
    else:
        _require_each(chosen)
    services = [endpoint_contender(name_or_path).launched_by(launch) for name_or_path in endpoints]
    _require_each(services)
    return [*chosen, *services]


def _require_each(contenders: Sequence[Contender]) -> None:
    for contender in contenders:
        contender.require_runnable()
        if contender.program is None and contender.endpoint is not None:
            require_endpoint_answers(contender.endpoint)
        elif contender.program is None:
            require_answer(contender)


def require_answer(contender: Contender) -> None:
    """Connect once to a running broker, to find a wrong address or password before the measurement."""

    async def connect() -> None:
        adapter, endpoint = open_endpoint(contender.url, contender.delivery)
        async with adapter.producer(endpoint):
            pass

    try:
        asyncio.run(connect())
    except FanbenchError as error:
        raise UsageError(str(error)) from error
