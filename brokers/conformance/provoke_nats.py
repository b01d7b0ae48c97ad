"""Provokes nats-server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from nats.errors import Error

from brokers.conformance.faults import RETRY_S
from brokers.conformance.provocations import Pending, Provocations, Restricted
from brokers.endpoint import Endpoint
from brokers.nats_link import NatsConnection, dial, hang_up
from brokers.nats_stream import ask, stream_of
from brokers.nats_subscriptions import open_inbox
from brokers.programs.catalogue import PROGRAMS
from brokers.programs.nats import SYSTEM_USER
from brokers.programs.probe import answers
from brokers.programs.running import PASSWORD, USER, Running, launch
from core.ports import free_port
from core.process import spawn

_ALLOWED = "ours."
_PROVOKER = "provoker"


@contextmanager
def _restricted(folder: Path) -> Iterator[Restricted]:
    """A server with a user who may use only subjects that begin with `ours.`."""
    port, folder = free_port(), folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    subjects = [f"{_ALLOWED}>", "_INBOX.>"]
    user = {"user": USER, "password": PASSWORD, "permissions": {"publish": subjects, "subscribe": subjects}}
    config = folder / "restricted.conf"
    settings = {"host": "127.0.0.1", "port": port, "authorization": {"users": [user]}}
    config.write_text(json.dumps(settings), encoding="utf-8")
    command: list[str | Path] = [PROGRAMS["nats"].require(), "-c", config]
    running = Running(
        name="nats",
        listeners={"nats": f"127.0.0.1:{port}"},
        data=folder / "data",
        spawn=lambda: spawn("nats", command, folder / "nats.log"),
        ready=lambda: answers(port, [(b"", b"INFO ")]),
    )
    with launch(running):
        yield Restricted(f"nats://{USER}:{PASSWORD}@127.0.0.1:{port}", _ALLOWED)


@asynccontextmanager
async def _connected(endpoint: Endpoint, user: str | None = None) -> AsyncIterator[NatsConnection]:
    """A separate connection, with a different name."""
    named = endpoint.options | {"run_name": _PROVOKER}
    own = replace(endpoint, options=named, username=user, password=PASSWORD if user else None)
    link = await dial(own)
    await open_inbox(link)
    try:
        yield link
    finally:
        await hang_up(link)


async def _system(link: NatsConnection, what: str, **body: Any) -> Any:
    subject = f"$SYS.REQ.SERVER.{link.client._server_info['server_id']}.{what}"
    answer = await link.requests.ask(subject, json.dumps(body).encode(), _TIMEOUT_S)
    return json.loads(answer).get("data")


_TIMEOUT_S = 5.0


async def _to_each_client(endpoint: Endpoint, what: str) -> None:
    """Send KICK or LDM (lame duck mode) to each connection of the run."""
    async with _connected(endpoint, SYSTEM_USER) as link:
        for client in (await _system(link, "CONNZ"))["connections"]:
            if client.get("name") == endpoint.prefix:
                await _system(link, what, cid=client["cid"])


async def _kick(endpoint: Endpoint) -> None:
    await _to_each_client(endpoint, "KICK")


@asynccontextmanager
async def _lame_duck(endpoint: Endpoint) -> AsyncIterator[None]:
    """The server repeatedly announces to each client that it is about to stop."""

    async def tell() -> None:
        while True:
            with suppress(Error, OSError):
                await _to_each_client(endpoint, "LDM")
            await asyncio.sleep(RETRY_S)

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.wait([telling])


def _asked(verb: str) -> Callable[[Endpoint], Awaitable[None]]:
    async def do(endpoint: Endpoint) -> None:
        async with _connected(endpoint) as link:
            await ask(endpoint, link, verb.format(stream=stream_of(endpoint)))

    return do


async def _delete_consumers(endpoint: Endpoint) -> None:
    stream = stream_of(endpoint)
    async with _connected(endpoint) as link:
        for name in (await ask(endpoint, link, f"CONSUMER.NAMES.{stream}"))["consumers"]:
            await ask(endpoint, link, f"CONSUMER.DELETE.{stream}.{name}")


async def _streams(endpoint: Endpoint) -> list[str]:
    async with _connected(endpoint) as link:
        names = (await ask(endpoint, link, "STREAM.NAMES"))["streams"] or []
        return [name for name in names if name.startswith(endpoint.prefix)]


PROVOCATIONS = {
    "nats": Provocations(
        restricted=_restricted,
        vanish={"client kicked": _kick},
        elsewhere=_lame_duck,
        inapplicable={"leftovers": "publish/subscribe creates nothing at the server"},
    ),
    "nats-jetstream": Provocations(
        vanish={
            "client kicked": _kick,
            "consumer deleted": _delete_consumers,
            "stream deleted": _asked("STREAM.DELETE.{stream}"),
            "stream purged": _asked("STREAM.PURGE.{stream}"),
        },
        elsewhere=_lame_duck,
        leftovers=_streams,
        inapplicable={"restricted": "all topics share one stream, and read permissions apply to a whole stream"},
    ),
}
PENDING: Pending = {}
