"""A connection to RabbitMQ for one piece of work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from brokers.amqp_errors import errors, kind_of, worded
from brokers.amqp_link import AmqpConnection, dial, hang_up
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, standard_kind
from brokers.reconnect import finish, quietly, reason


async def _nothing(_: AmqpConnection) -> None:
    pass


@asynccontextmanager
async def once_connected(endpoint: Endpoint, *, confirms: bool = False) -> AsyncIterator[AmqpConnection]:
    """A connection to the endpoint's first host, within the block, without watching for its loss."""
    link = await dial(confirms, _nothing, endpoint)
    try:
        yield link
    finally:
        await finish(quietly(hang_up(link), endpoint.timeout_s))


async def at_any_host(endpoint: Endpoint, action: str, work: Callable[[AmqpConnection], Awaitable[None]]) -> None:
    """Do the work at the first host that allows it.

    Raises:
        BrokerError: none does.
    """
    failed: BrokerError | None = None
    for address in endpoint.hosts:
        try:
            async with once_connected(endpoint.at(address)) as link:
                return await work(link)
        except BrokerError as error:
            failed = error
        except errors as error:
            failed = BrokerError(endpoint, action, reason(worded(error)), kind_of(error) or standard_kind(error))
    assert failed is not None
    raise failed from None
