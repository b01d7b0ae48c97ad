"""Dials NATS: the URL's hosts, and those that the cluster's servers announced."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

from brokers.connection import Calls
from brokers.endpoint import Address, Endpoint
from brokers.nats_errors import ERRORS, kind_of
from brokers.nats_link import NatsConnection, dial, hang_up, until_lost
from brokers.nats_options import DISCOVER
from brokers.reconnect import finish, quietly


class NatsDialler:
    """Remembers the servers that the last one announced; producer and consumer each have a dialler."""

    def __init__(self) -> None:
        self._pool: list[Any] = []
        """nats-py's own list, which grows while the connection lives."""

    async def dial(self, endpoint: Endpoint) -> NatsConnection:
        """Connect to the endpoint's one host, or, if that cannot be reached, to another server of its cluster.

        Raises:
            OSError: neither can. BrokerError, Error: see `nats_link.dial`.
        """
        try:
            link = await dial(endpoint)
        except OSError:
            found = await self._elsewhere(endpoint) if endpoint.get(DISCOVER) else None
            if found is None:
                raise
            link = found
        self._pool = link.client._server_pool
        return link

    async def _elsewhere(self, endpoint: Endpoint) -> NatsConnection | None:
        others = [Address(server.uri.hostname, server.uri.port) for server in self._pool if server.discovered]
        random.shuffle(others)
        for address in others:
            try:
                return await dial(endpoint.at(address))
            except ERRORS:  # reports the answer of the URL's own host
                continue
        return None


def calls(prepare: Callable[[NatsConnection], Awaitable[None]] | None = None) -> Calls[NatsConnection]:
    """nats-py for `brokers.connection`; `prepare` is done on each new connection."""

    dialler = NatsDialler()

    async def connect(endpoint: Endpoint) -> NatsConnection:
        link = await dialler.dial(endpoint)
        if prepare is not None:
            try:
                await prepare(link)
            except BaseException:
                await finish(quietly(hang_up(link), endpoint.timeout_s))
                raise
        return link

    return Calls(connect, until_lost, hang_up, ERRORS, kind_of)
