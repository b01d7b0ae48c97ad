"""Publishes to a service by HTTP, where an adapter would publish to a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from zlib import crc32

from core.endpoint.origin import Origin
from core.endpoint.publish_request import PublishEncoder, PublishRequest
from core.endpoint.request import TlsSettings
from core.endpoint.tls import tls_context
from generator.http_lane import HttpLane, LaneTls


class HttpProducer:
    """Several kept connections; each topic uses one of them, so that its events arrive in order."""

    def __init__(
        self, origin: Origin, request: PublishRequest, connections: int, pipeline: int, tls: TlsSettings
    ) -> None:
        secured = LaneTls(tls_context(tls), tls.server_name or origin.host) if origin.scheme == "https" else None
        self._encoder = PublishEncoder(origin, request)
        self._lanes = [HttpLane(origin, secured, pipeline) for _ in range(connections)]

    @property
    def link(self) -> HttpProducer:
        """The producer is its own link: it reports whether it is connected."""
        return self

    @property
    def connected(self) -> bool:
        """Whether any of its connections is up."""
        return any(lane.connected for lane in self._lanes)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the service has said that it accepted the event.

        Raises:
            PublishError: it said otherwise, or did not answer.
        """
        lane = self._lanes[crc32(topic.encode()) % len(self._lanes)]
        await lane.send(self._encoder.encode(topic, payload))

    async def close(self) -> None:
        """End all connections."""
        await asyncio.gather(*(lane.close() for lane in self._lanes))


@asynccontextmanager
async def http_producer(
    origin: Origin, request: PublishRequest, connections: int, pipeline: int, tls: TlsSettings
) -> AsyncIterator[HttpProducer]:
    """A producer that connects with its first events, and closes with the block; `tls` is for `https://`.

    Raises:
        UsageError: a file of `tls` cannot be used.
    """
    producer = HttpProducer(origin, request, connections, pipeline, tls)
    try:
        yield producer
    finally:
        await producer.close()
