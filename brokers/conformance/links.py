"""Promises about the connection: its state is known, and it reconnects to every address of the broker."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from brokers.api import LinkState, Producer
from brokers.conformance.faults import RETRY_S, impatient, polled
from brokers.conformance.workbench import (
    DEADLINE_S,
    BrokenPromiseError,
    MessageReader,
    Workbench,
    needs,
    require,
    with_address,
)
from brokers.errors import BrokerError
from core.tcp_proxy import TcpProxy

_NAME = "moving-broker.fanbench.test"
_TWO_LOOPBACKS = ("127.0.0.1", "127.0.0.2")


def has_two_loopbacks() -> bool:
    """Whether this machine has 127.0.0.2: Linux does, macOS does not."""
    with contextlib.suppress(OSError), socket.socket() as sock:
        sock.bind((_TWO_LOOPBACKS[1], 0))
        return True
    return False


@contextmanager
def _name_server() -> Iterator[dict[str, str]]:
    """Within the block this process resolves the dictionary's names to its addresses."""
    known: dict[str, str] = {}
    real: Any = socket.getaddrinfo

    def resolve(host: Any, *words: Any, **options: Any) -> Any:
        return real(known.get(host, host), *words, **options)

    socket.getaddrinfo = resolve
    try:
        yield known
    finally:
        socket.getaddrinfo = real


async def _becomes(link: LinkState, connected: bool, whose: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            while link.connected is not connected:
                await link.changed()
    except TimeoutError:
        word = "connected" if connected else "not connected"
        raise BrokenPromiseError(f"the {whose}'s link is not reported as {word} within {DEADLINE_S:g} s") from None
    require(bool(link.cause) is not connected, f"the {whose}'s link says {link.cause!r} while connected={connected}")


class LinkPromises:
    """One test for each."""

    async def _flows(self, broker: Workbench, topic: str, producer: Producer, reader: MessageReader) -> None:
        """Publish until one arrives: the producer may reconnect before the consumer."""
        payload = broker.topic().encode()
        try:
            async with asyncio.timeout(DEADLINE_S):
                while payload not in reader.payloads:
                    with contextlib.suppress(BrokerError):
                        await producer.publish(topic, payload)
                    await asyncio.sleep(RETRY_S)
        except TimeoutError:
            raise BrokenPromiseError(f"received nothing for {DEADLINE_S:g} s; gaps: {reader.gaps}") from None

    @needs("link")
    async def test_link_state_follows(self, broker: Workbench) -> None:
        """Producer and consumer report at once that their connection is lost, why, and when it is back."""
        topic = broker.topic()
        with broker.proxy() as (proxy, endpoint):
            async with broker.producer(endpoint) as producer, broker.reader(topic, endpoint=endpoint) as (one, reader):
                await _becomes(one.link, True, "consumer")
                await _becomes(producer.link, True, "producer")
                proxy.cut()
                await _becomes(one.link, False, "consumer")
                await _becomes(producer.link, False, "producer")
                proxy.restore()
                await _becomes(one.link, True, "consumer")
                await _becomes(producer.link, True, "producer")
                await self._flows(broker, topic, producer, reader)
        require(not one.link.connected, "a closed consumer's link is reported as connected")

    @needs("link")
    async def test_reconnecting_never_ends(self, broker: Workbench) -> None:
        """After refused attempts and attempts without an answer, it keeps trying forever."""
        topic = broker.topic()
        with broker.proxy() as (proxy, endpoint):
            hasty = impatient(endpoint, 0.5)
            async with broker.producer(hasty) as producer, broker.reader(topic, endpoint=hasty) as (one, reader):
                proxy.cut()
                await _becomes(one.link, False, "consumer")
                await _becomes(producer.link, False, "producer")
                refused = proxy.accepted
                await polled(lambda: proxy.accepted >= refused + 6, "both sides retry after a refusal")
                proxy.restore(flowing=False)
                silent = proxy.accepted
                await polled(lambda: proxy.accepted >= silent + 6, "both sides retry without an answer")
                for task in asyncio.all_tasks():
                    if task.get_name().endswith(" line"):
                        task.cancel()
                proxy.restore()
                await _becomes(one.link, True, "consumer")
                await _becomes(producer.link, True, "producer")
                await self._flows(broker, topic, producer, reader)

    @needs("link")
    async def test_each_host_is_tried(self, broker: Workbench) -> None:
        """If one of several hosts in a URL does not answer, the adapter tries the next one, at the start and later."""
        topic, target = broker.topic(), str(broker.address)
        with TcpProxy(target) as one, TcpProxy(target) as other:
            endpoint = broker.endpoint(with_address(broker.url, f"127.0.0.1:1,{one.address},{other.address}"))
            async with broker.producer(endpoint) as producer, broker.reader(topic, endpoint=endpoint) as (_, reader):
                await self._flows(broker, topic, producer, reader)
                used, spare = (one, other) if one.connections else (other, one)
                used.cut()
                await self._flows(broker, topic, producer, reader)
                require(spare.connections, "nobody is connected to the other host")

    @needs("link", "two loopbacks")
    async def test_name_is_resolved_anew(self, broker: Workbench) -> None:
        """The adapter resolves a host name at each dial, so it finds a broker that moved to another address."""
        topic, target = broker.topic(), str(broker.address)
        with _name_server() as known, TcpProxy(target) as old:
            known[_NAME] = _TWO_LOOPBACKS[0]
            endpoint = broker.endpoint(with_address(broker.url, f"{_NAME}:{old.port}"))
            async with broker.producer(endpoint) as producer, broker.reader(topic, endpoint=endpoint) as (_, reader):
                await self._flows(broker, topic, producer, reader)
                with TcpProxy(target, listen=(_TWO_LOOPBACKS[1], old.port)) as new:
                    known[_NAME] = _TWO_LOOPBACKS[1]
                    old.cut()
                    await self._flows(broker, topic, producer, reader)
                    require(new.connections, "nobody is connected to the new address")
                    await reader.until(lambda: reader.gaps, "a Gap")
