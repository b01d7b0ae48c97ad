"""Finds the primary of Redis and Valkey: through Sentinel, and by asking each server when dialled and while in use.

After a manual failover a demoted server keeps its connections. It accepts PUBLISH but no other server sees the message,
and its subscribers receive nothing from the new primary. So both sides check regularly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import NoPermissionError, ResponseError

from brokers.endpoint import Address, Endpoint
from brokers.errors import BrokerError, CauseKind
from brokers.options import choice, file, text

WATCH_S = 1.0
"""How often a side checks whether its server is still the primary."""
PORT = 6379
SENTINEL_PORT = 26379
ROLE = choice("role", "which server is acceptable: the primary, or any", ("primary", "any"), "primary")
SENTINEL_USER = text("sentinel_user", "user at the Sentinels, if they require one", "", "none")
SENTINEL_PASSWORD_FILE = file("sentinel_password_file", "file whose first line is the Sentinels' password")
SENTINEL_OPTIONS = (SENTINEL_USER, SENTINEL_PASSWORD_FILE)

Ask = Callable[..., Awaitable[Any]]
"""Sends one command and returns its reply, as redis-py gives it."""


class DemotedError(ConnectionError):
    """The server is not the primary, or no longer."""


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


async def primary_at(endpoint: Endpoint, ask: Ask) -> Address:
    """Return the primary's address according to a sentinel.

    Raises:
        BrokerError: it knows no primary of this name.
    """
    name, _ = service_of(endpoint)
    found = await ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
    if found is None:
        step = "check the name in the URL, and `sentinel monitor` in the sentinels' configuration"
        raise BrokerError(endpoint, "connect", f"the sentinel knows no primary '{name}'", CauseKind.NOT_FOUND, step)
    host, port = found
    return Address(host.decode(), int(port))


async def watch_sentinel(endpoint: Endpoint, address: Address, look: Callable[[Endpoint], Awaitable[Address]]) -> None:
    """Watch until the Sentinels name another primary; skip a Sentinel that does not answer.

    Raises:
        DemotedError: they name another one.
    """
    while True:
        await asyncio.sleep(WATCH_S)
        for sentinel in endpoint.hosts:
            try:
                async with asyncio.timeout(endpoint.timeout_s):
                    found = await look(endpoint.at(sentinel))
            except Exception:  # noqa: S112 - that sentinel is away; the next one, or the next turn, may tell
                continue
            if found != address:
                raise DemotedError(f"the sentinels name {found} instead of {address}")
            break
