"""Notifications of RabbitMQ that aiormq does not pass on: alarms and returned messages."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brokers.amqp_link import AmqpConnection

_log = logging.getLogger("fanbench.brokers")


def hear_returns(link: AmqpConnection) -> None:
    """Record a returned message: aiormq looks for its own kind of id, which fanbench's messages do not have."""
    channel = link.channel

    async def returned(frame: Any) -> None:
        await channel._read_content(frame, await channel._Channel__get_content_header())
        link.unroutable = True

    assert hasattr(channel, "_on_return_frame"), "aiormq has changed"
    channel._on_return_frame = returned


def hear_alarms(link: AmqpConnection) -> None:
    """Listen for `connection.blocked` and `connection.unblocked`, which aiormq does not pass on.

    RabbitMQ sends `blocked` on the first publish during an alarm, and then reads nothing more from this connection.
    """

    async def blocked(frame: Any) -> None:
        link.blocked = str(frame.reason)
        link.takes_messages.clear()
        link.alarm.set()
        why = f"the broker accepts no messages for now: {link.blocked}"
        _log.warning("%s: %s", link.endpoint, why)
        link.tell(why)

    async def unblocked(_: Any) -> None:
        link.blocked, dropped, link.dropped = "", link.dropped, 0
        link.alarm.clear()
        link.takes_messages.set()
        told = f"; {dropped} were dropped meanwhile" if dropped else ""
        _log.warning("%s: the broker accepts messages again%s", link.endpoint, told)
        link.tell("")

    link.takes_messages.set()
    for word, heard in (("blocked", blocked), ("unblocked", unblocked)):
        name = f"_Connection__handle_connection_{word}"
        assert hasattr(link.connection.transport.connection, name), "aiormq has changed"
        setattr(link.connection.transport.connection, name, heard)
