"""Finds the primary of Redis and Valkey: through the Sentinels, and by asking each server when dialled and while in use.

After a manual failover a demoted server keeps its connections. It accepts PUBLISH but no other server sees the message,
and its subscribers receive nothing from the new primary. So both sides check regularly.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import NoPermissionError, ResponseError

from brokers.endpoint import Address, Endpoint
from brokers.errors import BrokerError, CauseKind
from brokers.options import choice, file, text

WATCH_S = 1.0
"""How often a side checks whether its server is still the primary."""
THE_REST_S = 0.25
"""How long to wait for the last Sentinels once most have answered."""
PORT = 6379
SENTINEL_PORT = 26379
ROLE = choice("role", "which server is acceptable: the primary, or any", ("primary", "any"), "primary")
SENTINEL_USER = text("sentinel_user", "user at the Sentinels, if they require one", "", "none")
SENTINEL_PASSWORD_FILE = file("sentinel_password_file", "file whose first line is the Sentinels' password")
SENTINEL_OPTIONS = (SENTINEL_USER, SENTINEL_PASSWORD_FILE)

Ask = Callable[..., Awaitable[Any]]
"""Sends one command and returns its reply, as redis-py gives it."""


class DemotedError(ConnectionError):
    """The server is not the primary, or no longer is."""


def by_sentinel(endpoint: Endpoint) -> bool:
    """Whether the URL names Sentinels, not servers."""
    return endpoint.scheme.endswith("+sentinel")


def service_of(endpoint: Endpoint) -> tuple[str, str]:
    """The Sentinels' name for the primary, and the rest of the URL's path: `mymaster/0`.

    Raises:
        BrokerError: the URL names none.
    """
    name, _, rest = endpoint.path.partition("/")
    if not name:
        step = f"write {endpoint.scheme}://host,host,host/mymaster, by the name in the sentinels' configuration"
        raise BrokerError(endpoint, "connect", "it names no primary", CauseKind.NOT_FOUND, step)
    return name, rest


async def require_primary(endpoint: Endpoint, ask: Ask) -> bool:
    """Raise unless the server is a primary; False if this user may not ask.

    HELLO without arguments changes nothing, needs no key, and is refused if the connection lacks a password.

    Raises:
        DemotedError: it is a replica. BrokerError: it is a Sentinel. ResponseError: it requires a password.
    """
    try:
        told = await ask("HELLO")
    except NoPermissionError:
        return False
    except ResponseError as error:
        if "unknown command" in str(error).lower():
            return False
        raise
    facts = dict(zip(told[::2], told[1::2], strict=True))
    if facts.get(b"mode") == b"sentinel":
        step = "write redis+sentinel://host,host,host/mymaster"
        raise BrokerError(endpoint, "connect", "this is a Sentinel", CauseKind.WRONG_PROTOCOL, step)
    if endpoint.get(ROLE) == "primary" and facts.get(b"role") not in (b"master", None):
        raise DemotedError(f"{endpoint.hosts[0]} is a replica")
    return True


@dataclass(frozen=True, slots=True)
class NamedPrimary:
    """The primary according to a Sentinel."""

    address: Address
    epoch: int
    """The number of the failover that made it the primary; -1 if this user may not ask."""


async def primary_at(endpoint: Endpoint, ask: Ask) -> NamedPrimary:
    """Return the primary according to a Sentinel.

    Raises:
        BrokerError: it knows no primary of this name.
    """
    name, _ = service_of(endpoint)
    epoch = -1
    with contextlib.suppress(ResponseError):  # no right to ask, or no such name, which is reported below
        facts = await ask("SENTINEL", "MASTER", name)
        epoch = int(dict(zip(facts[::2], facts[1::2], strict=True))[b"config-epoch"])
    found = await ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
    if found is None:
        step = "check the name in the URL, and `sentinel monitor` in the sentinels' configuration"
        raise BrokerError(endpoint, "connect", f"the sentinel knows no primary '{name}'", CauseKind.NOT_FOUND, step)
    host, port = found
    return NamedPrimary(Address(host.decode(), int(port)), epoch)


async def primary_by_all(endpoint: Endpoint, look: Callable[[Endpoint], Awaitable[NamedPrimary]]) -> Address:
    """Ask every Sentinel of the URL with `look`, and return the primary of the latest failover.

    One answer is not enough: a Sentinel that is cut off from the others still names the primary that they have replaced.
    So wait until most Sentinels have answered, and THE_REST_S for the others.

    Raises:
        Exception: no Sentinel answers; the error is that of the endpoint's first host.
    """
    first = endpoint.hosts[0]
    hosts = [first, *(host for host in endpoint.every_host if host != first)]
    asked = [asyncio.ensure_future(look(endpoint.at(host))) for host in hosts]
    try:
        await _most_of(asked, endpoint.timeout_s / len(asked) / 2)
    finally:
        for one in asked:
            one.cancel()
        await asyncio.wait(asked)
    if told := _answers(asked):
        return latest(told)
    if asked[0].cancelled():
        raise TimeoutError
    return asked[0].result().address


async def _most_of(asked: Sequence[asyncio.Future[NamedPrimary]], timeout_s: float) -> None:
    """Return when all are done, THE_REST_S after most have answered, or after `timeout_s`."""
    loop, waiting = asyncio.get_running_loop(), set(asked)
    until_s = loop.time() + timeout_s
    while waiting and (left_s := until_s - loop.time()) > 0:
        _, waiting = await asyncio.wait(waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        if len(_answers(asked)) > len(asked) / 2:
            until_s = min(until_s, loop.time() + THE_REST_S)


def _answers(asked: Sequence[asyncio.Future[NamedPrimary]]) -> list[NamedPrimary]:
    return [one.result() for one in asked if one.done() and not one.cancelled() and one.exception() is None]


def latest(told: Sequence[NamedPrimary]) -> Address:
    """The primary of the latest failover; if Sentinels disagree about it, the one that most of them name."""
    newest = max(one.epoch for one in told)
    return Counter(one.address for one in told if one.epoch == newest).most_common(1)[0][0]


async def watch_sentinels(address: Address, look: Callable[[], Awaitable[Address]]) -> None:
    """Watch until the Sentinels name another primary; go on while no Sentinel answers.

    Raises:
        DemotedError: they name another one.
    """
    while True:
        await asyncio.sleep(WATCH_S)
        try:
            found = await look()
        except Exception:  # noqa: S112 - they do not answer; the next turn tries again
            continue
        if found != address:
            raise DemotedError(f"the sentinels name {found} instead of {address}")
