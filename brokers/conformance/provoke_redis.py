"""Provokes Redis and Valkey."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from brokers.conformance.provocations import Pending, Provocations, Restricted
from brokers.endpoint import Endpoint
from brokers.programs.catalogue import PROGRAMS
from brokers.programs.probe import answers
from brokers.programs.running import PASSWORD, USER, Running, launch
from brokers.redis_link import ask, close, open_connection
from brokers.redis_streams import stream_of
from core.ports import free_port
from core.process import spawn

_ALLOWED = "ours."
_ACL = f"user default off\nuser {USER} on >{PASSWORD} ~* &{_ALLOWED}* +@all\n"


@contextmanager
def _restricted(program: str, folder: Path) -> Iterator[Restricted]:
    """A server with a user who may use only channels that begin with `ours.`."""
    port, folder = free_port(), folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    users = folder / "restricted.acl"
    users.write_text(_ACL, encoding="utf-8")
    command: list[str | Path] = [PROGRAMS[program].require(), "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--aclfile", users, "--save", ""]
    running = Running(
        name=program,
        listeners={"redis": f"127.0.0.1:{port}"},
        data=folder / "data",
        spawn=lambda: spawn(program, command, folder / f"{program}.log", cwd=folder),
        ready=lambda: answers(port, [(b"PING\r\n", b"-NOAUTH")]),
    )
    with launch(running):
        yield Restricted(f"redis://{USER}:{PASSWORD}@127.0.0.1:{port}", _ALLOWED)


async def _ask(endpoint: Endpoint, *command: str | int) -> Any:
    connection = await open_connection(replace(endpoint, options=endpoint.options | {"role": "any"}))
    try:
        return await ask(connection, *command)
    finally:
        await close(connection)


def _done(*command: str | int) -> Callable[[Endpoint], Awaitable[None]]:
    """Send the server a command."""

    async def do(endpoint: Endpoint) -> None:
        await _ask(endpoint, *command)

    return do


def _on_stream(command: str, *words: str | int) -> Callable[[Endpoint], Awaitable[None]]:
    async def do(endpoint: Endpoint) -> None:
        await _ask(endpoint, command, stream_of(endpoint), *words)

    return do


@asynccontextmanager
async def _demoted(endpoint: Endpoint) -> AsyncIterator[None]:
    """A replica of an unreachable primary; its connections stay, as after a manual REPLICAOF."""
    await _ask(endpoint, "REPLICAOF", "127.0.0.1", free_port())
    try:
        yield
    finally:
        await _ask(endpoint, "REPLICAOF", "NO", "ONE")


async def _keys(endpoint: Endpoint) -> list[str]:
    return [key.decode() for key in await _ask(endpoint, "KEYS", f"{endpoint.prefix}*")]


_PUBSUB = {"client killed": _done("CLIENT", "KILL", "TYPE", "pubsub")}
_STREAMS = {
    "client killed": _done("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
    "stream deleted": _on_stream("DEL"),
    "stream trimmed": _on_stream("XTRIM", "MAXLEN", 0),
}
PROVOCATIONS = {
    name: Provocations(
        restricted=partial(_restricted, name),
        vanish=_PUBSUB,
        elsewhere=_demoted,
        inapplicable={"leftovers": "pub/sub creates nothing at the server"},
    )
    for name in ("valkey", "redis")
} | {
    name: Provocations(
        vanish=_STREAMS,
        elsewhere=_demoted,
        leftovers=_keys,
        inapplicable={"restricted": "all topics share one stream, and permissions are per key"},
    )
    for name in ("valkey-streams", "redis-streams")
}
PENDING: Pending = {}
