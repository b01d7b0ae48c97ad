"""Passes a consumer's messages to the hub: on arrival if the adapter can, otherwise in batches or one by one."""

from __future__ import annotations

import contextlib
import logging

from brokers.api import Consumer, Gap, GivesBatches, Message, PassesOn
from brokers.endpoint import Endpoint
from server.hub import Hub

_log = logging.getLogger("fanbench.server")


async def read_into(hub: Hub, consumer: Consumer, endpoint: Endpoint) -> None:
    """Return when the consumer ends."""
    items = aiter(consumer)
    intake = _Intake(hub, endpoint)
    if not isinstance(items, GivesBatches):
        async for item in items:
            intake.accept(item)
        return
    if not isinstance(items, PassesOn):
        await intake.read(items)
        return
    items.pass_on(intake.take, hub.flush)
    try:
        await intake.read(items)
    finally:
        items.pass_on(None)


class _Intake:
    def __init__(self, hub: Hub, endpoint: Endpoint) -> None:
        self._hub = hub
        self._endpoint = endpoint

    async def read(self, items: GivesBatches) -> None:
        """Accept waiting messages in batches until the consumer ends."""
        hub = self._hub
        with contextlib.suppress(StopAsyncIteration):
            while True:
                batch = await items.batch()
                hub.hold()
                try:
                    for item in batch:
                        self.accept(item)
                finally:
                    hub.flush()

    def take(self, topic: str, payload: bytes) -> None:
        """Accept one message; the caller calls `Hub.flush` at the end of the read."""
        self._hub.hold()
        self._hub.accept(topic, payload)

    def accept(self, item: Message | Gap) -> None:
        """Accept one item from the iterator."""
        if isinstance(item, Message):
            self._hub.accept(item.topic, item.payload)
        else:
            _log.warning("%s: gap: %s (lost: %s)", self._endpoint, item.cause, item.lost)
            self._hub.gap(item.cause, item.lost, item.topic)
