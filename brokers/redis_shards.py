"""Redis and Valkey Cluster as a set of shards: which primary has which slots, and a shard's connections."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Generic, TypeVar

from redis.crc import key_slot

from brokers.endpoint import Address, Endpoint
from brokers.link import Link
from brokers.reconnect import finish, quietly
from brokers.redis_link import Connection, close, kind_of, open_connection, slot_owners
from brokers.supervisor import Supervisor
from brokers.topic_names import TOPICS

N = TypeVar("N")
S = TypeVar("S")
M = TypeVar("M")
Owners = Sequence[Address | None]
"""The primary of each slot, None if it has none now."""


@lru_cache(TOPICS)
def slot_of(name: str) -> int:
    """The slot of a topic's name."""
    return key_slot(name.encode())


class ClusterMap:
    """Reads the slot map at every dial.

    Remembers every primary that it named, because the URL's own hosts may be lost.
    """

    def __init__(self) -> None:
        self._known: dict[Address, None] = {}

    async def read(self, endpoint: Endpoint) -> Owners:
        """Ask the endpoint's one host, or another primary if that one does not answer.

        Raises:
            OSError: none answers; the message is that of the endpoint's host.
        """
        try:
            return await self._ask(endpoint)
        except OSError:
            for address in [known for known in self._known if known != endpoint.hosts[0]]:
                try:
                    return await self._ask(endpoint.at(address))
                except OSError:
                    continue
            raise

    async def _ask(self, endpoint: Endpoint) -> Owners:
        async with asyncio.timeout(endpoint.timeout_s / 4):
            owners = await slot_owners(endpoint)
        self._known |= dict.fromkeys(address for address in owners if address is not None)
        return owners


class _First:
    """What a `Supervisor` needs to read the map from the first host that answers."""

    def __init__(self, endpoint: Endpoint, cluster: ClusterMap) -> None:
        self.link = Link(endpoint)
        self.kind_of = kind_of
        self._cluster = cluster

    async def dial(self) -> Owners:
        return await self._cluster.read(self.link.target)

    async def serve(self, connection: Owners) -> None:
        """There is no connection to maintain."""

    def lost(self, cause: str) -> None:
        """Nothing to lose."""

    async def hang_up(self, connection: Owners) -> None:
        """Nothing to close."""


async def shards_of(endpoint: Endpoint, cluster: ClusterMap) -> list[list[int]]:
    """The slots of each primary at this moment, as one shard each; if a slot moves, its shard is dialled again.

    Raises:
        BrokerError: no host of the URL answers.
    """
    owners = await Supervisor(endpoint, _First(endpoint, cluster)).first()
    shards: dict[Address | None, list[int]] = {}
    for slot, address in enumerate(owners):
        shards.setdefault(address, []).append(slot)
    return list(shards.values())


class Nodes(Generic[N]):
    """One value for each primary of a shard, such as its connection, and which primary has a name's slot."""

    def __init__(self, owners: Owners, each: Mapping[Address, N]) -> None:
        self._owners = owners
        self.each = each

    def of(self, make: Callable[[N], M]) -> Nodes[M]:
        """Return the result of `make` for each primary."""
        return Nodes(self._owners, {address: make(one) for address, one in self.each.items()})

    def owner(self, name: str) -> Address:
        """The primary of the slot of a name."""
        address = self._owners[slot_of(name)]
        assert address is not None, "a shard is open only where all its slots have a primary"
        return address

    def by_slot(self, names: Iterable[str]) -> list[tuple[N, list[str]]]:
        """The names by slot, since one command may use only one, with the value of its primary."""
        slots: dict[int, list[str]] = {}
        for name in names:
            slots.setdefault(slot_of(name), []).append(name)
        return [(self.each[self.owner(some[0])], some) for some in slots.values()]


async def open_shard(endpoint: Endpoint, cluster: ClusterMap, slots: Sequence[int]) -> Nodes[Connection]:
    """Read the map, and connect to each primary of these slots: one, except while slots move.

    Raises:
        ConnectionError: some of the slots have no primary.
    """
    owners = await cluster.read(endpoint)
    found = {address: None for slot in slots if (address := owners[slot]) is not None}
    if missing := sum(owners[slot] is None for slot in slots):
        raise ConnectionError(f"CLUSTERDOWN {missing} slots have no primary")
    connections: dict[Address, Connection] = {}
    try:
        for address in found:
            connections[address] = await open_connection(node(endpoint, address))
    except BaseException:
        await finish(quietly(close_all(Nodes(owners, connections)), endpoint.timeout_s))
        raise
    return Nodes(owners, connections)


def node(endpoint: Endpoint, address: Address) -> Endpoint:
    """The endpoint of one node, which is dialled by its address without the slot map."""
    return replace(endpoint.at(address), scheme=endpoint.scheme.removesuffix("+cluster"))


async def close_all(nodes: Nodes[Connection]) -> None:
    """Close the sockets."""
    for connection in nodes.each.values():
        await close(connection)


class BySlot(Generic[S]):
    """Which shard has a topic."""

    def __init__(self, slots: Sequence[Sequence[int]], shards: Sequence[S]) -> None:
        self.all = shards
        self._of = {slot: shard for some, shard in zip(slots, shards, strict=True) for slot in some}

    def of(self, name: str) -> S:
        """The shard of a name."""
        return self._of[slot_of(name)]

    def sorted(self, names: Iterable[str]) -> dict[S, list[str]]:
        """The names by shard, without shards that have none."""
        found: dict[S, list[str]] = {}
        for name in names:
            found.setdefault(self.of(name), []).append(name)
        return found


class ShardLinks:
    """The links of all shards as one: connected while one of them is, with the others' problems as notice."""

    def __init__(self, links: Sequence[Link]) -> None:
        self._links = links

    @property
    def connected(self) -> bool:
        """Whether a shard is connected: its topics continue, regardless of the others."""
        return any(link.connected for link in self._links)

    @property
    def cause(self) -> str:
        """Why none is connected; empty while one is."""
        return "" if self.connected else self._links[0].cause

    @property
    def notice(self) -> str:
        """Which part of the topics is cut off, and why."""
        lost = [link.cause for link in self._links if not link.connected]
        return f"{len(lost)} of {len(self._links)} shards are lost: {lost[0]}" if lost and self.connected else ""

    @property
    def skipped(self) -> Mapping[str, int]:
        """The skipped messages of all shards."""
        return sum((link.skipped for link in self._links), Counter())

    async def changed(self) -> None:
        """Return when the state of a shard has changed."""
        waiting = [asyncio.ensure_future(link.changed()) for link in self._links]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
