"""The objects that the adapter `amqp` creates at RabbitMQ: its exchange, and the queue of a consumer."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from aiormq.exceptions import ChannelPreconditionFailed

from brokers.amqp_link import AmqpConnection
from brokers.endpoint import RUN_NAME, Endpoint
from brokers.options import choice, flag, text

EXCHANGE = text("exchange", "name of the exchange", default_words="fanbench, or the run's name")
EXCHANGE_TYPE = choice("exchange_type", "type of the exchange", ("direct", "topic", "fanout"), "direct")
PASSIVE = flag("passive", "declare nothing that is shared: the named objects must exist, with any settings")
QUEUE_TYPE = choice("queue_type", "type of the queues with confirms", ("classic", "quorum"), "classic")

QUEUE_EXPIRES_MS = 60_000
_SLOTS = 1_024
"""Possible names of a run's queues, for deleting them by name: AMQP cannot list queues."""


def exchange_of(endpoint: Endpoint) -> str:
    """The exchange's name."""
    return endpoint.get(EXCHANGE) or endpoint.prefix


async def declare_exchange(endpoint: Endpoint, link: AmqpConnection) -> None:
    """Both sides declare it, so either may connect first."""
    await link.channel.exchange_declare(
        exchange_of(endpoint),
        exchange_type=endpoint.get(EXCHANGE_TYPE),
        durable=True,
        passive=endpoint.get(PASSIVE),
    )


def queue_names(endpoint: Endpoint) -> Iterator[str]:
    """All names that a run's queues can have."""
    return (f"{endpoint.prefix}.{slot}" for slot in range(_SLOTS))


def new_queue_name(endpoint: Endpoint) -> str:
    """A queue's name: random unless a run cleans up queues by name."""
    return f"{endpoint.prefix}.{secrets.randbelow(_SLOTS) if endpoint.get(RUN_NAME) else secrets.token_hex(8)}"


def _claim(name: str) -> str:
    return f"{name}.taken"


async def release_claim(link: AmqpConnection, name: str) -> None:
    """Call this once the new queue has its consumer, which then shows that the name is in use."""
    await link.channel.queue_delete(_claim(name))


async def declare_queue(endpoint: Endpoint, link: AmqpConnection, name: str, durable: bool, new: bool) -> None:
    """Declare the queue of a consumer; with `new`, it must not exist yet, and a durable one is claimed until `release_claim`.

    Raises:
        ChannelPreconditionFailed: `new`, but a queue of that name exists.
        ChannelLockedResource: another consumer has claimed the name.
    """
    arguments = None
    if durable and new:
        # Only an exclusive queue decides between two consumers at the same moment; both would see the durable one empty.
        await link.channel.queue_declare(_claim(name), exclusive=True)
    if durable:
        arguments = {"x-expires": QUEUE_EXPIRES_MS, "x-queue-type": endpoint.get(QUEUE_TYPE)}
    found = await link.channel.queue_declare(name, durable=durable, exclusive=not durable, arguments=arguments)
    if new and (found.consumer_count or found.message_count):
        raise ChannelPreconditionFailed(f"PRECONDITION_FAILED - queue '{name}' is another's")
