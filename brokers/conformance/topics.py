"""Promises about topics: each is confirmed or refused separately."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Sequence

from brokers.api import Producer
from brokers.conformance.faults import RETRY_S, publish_until_taken
from brokers.conformance.workbench import DEADLINE_S, MessageReader, Workbench, needs, require, with_address
from brokers.endpoint import MAX_TOPIC_BYTES
from brokers.errors import BrokerError, Refusal, TopicRefusedError
from core.tcp_proxy import TcpProxy

_AT_ONCE = 20
_ODD = (
    *("*", "#", "+", ">", "a.>", "a/+", "a/#", "$SYS/a", "$share/a/b", "$JS.API.a", "_INBOX.a", "__keyspace@0__:a"),
    *("/", "//", ".", "..", "a..b", "a//b", " ", "a b", "a\tb", "a\r\nPUB b 0\r\n\r\n", "a\0b", "\x01", "\x7f", "\x85"),
    *(
        "\u00a0",
        "\u2028",
        "\ufeff",
        "\ufdd0",
        "\uffff",
        "\U0001fffe",
        "\U0001f388",
        "e\u0301",
        "%",
        "%2A",
        "%s",
        "a'b",
        'a"b',
    ),
    *("/" * 250, "a." * 125 + "a", "a/" * 125 + "a"),
)
"""Topics that a protocol or a program may give a meaning, or may not accept."""


async def _refused_publish(producer: Producer, topic: str) -> Refusal:
    """Publish until the topic is refused: some brokers report it only at a later publish."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await producer.publish(topic, b"to nobody")
            except TopicRefusedError as error:
                require(error.topic == topic, f"the refusal of {topic!r:.60} is reported for {error.topic!r:.60}")
                return error.refusal
            except BrokerError:  # reconnected, for instance
                pass
            await asyncio.sleep(RETRY_S)


def _unusable(broker: Workbench) -> tuple[str, list[str]]:
    """The longest valid topic, and some invalid ones: too long in bytes, empty, not text."""
    endpoint = broker.endpoint()
    limit = min(broker.adapter.max_topic_bytes, endpoint.get(MAX_TOPIC_BYTES) or broker.adapter.max_topic_bytes)
    longest = broker.topic().ljust(limit, "x")
    return longest, [longest + "x", "ü" * (limit // 2 + 1), "", "half a pair: \ud800"]


class TopicPromises:
    """One test for each."""

    async def test_unusable_topic_harms_no_other(self, broker: Workbench) -> None:
        """A topic that is too long in bytes, or is not text, is refused separately; the longest allowed one works."""
        longest, bad = _unusable(broker)
        good = [broker.topic(), broker.topic(), longest]
        async with broker.producer() as producer, broker.reader() as (consumer, reader):
            refused = await consumer.subscribe(good[0], *bad, *good[1:])
            require(isinstance(refused, dict), f"subscribe returned {refused!r:.80}, not the refused topics")
            self._all_invalid(refused, bad)
            more = [broker.topic() for _ in range(_AT_ONCE)]
            asked = [consumer.subscribe(topic) for topic in (*more[:10], *bad, *more[10:])]
            for topic, answer in zip((*more[:10], *bad, *more[10:]), await asyncio.gather(*asked), strict=True):
                self._all_invalid(answer, [topic] if topic in bad else [])
            for topic in bad:
                refusal = await _refused_publish(producer, topic)
                require(refusal.kind == "invalid", f"publish refused it as {refusal.kind}")
            await self._all_arrive(producer, reader, [*good, *more])
            require(not reader.gaps, f"the others were interrupted: {reader.gaps}")
            await consumer.unsubscribe(*bad, good[0])

    async def test_odd_topic_harms_no_other(self, broker: Workbench) -> None:
        """A topic with any characters is refused separately, or works like any other: no message is interrupted or duplicated."""
        good = [broker.topic() for _ in range(6)]
        async with broker.producer() as producer, broker.reader() as (consumer, reader):
            refused = await consumer.subscribe(*good[:3], *_ODD, *good[3:])
            require(set(refused) <= set(_ODD), f"refused: {[topic for topic in refused if topic in good]}")
            used = [topic for topic in _ODD if topic not in refused]
            for topic in [topic for topic, refusal in refused.items() if refusal.kind == "invalid"]:
                await _refused_publish(producer, topic)
            payload = secrets.token_hex(8).encode()
            for topic in [*used, *good]:
                await producer.publish(topic, payload)
            await self._all_arrive(producer, reader, [*used, *good])
            got = Counter(message.topic for message in reader.messages if message.payload == payload)
            require(
                got == Counter([*used, *good]),
                f"not received exactly once: {got - Counter([*used, *good]) or 'some are missing'!r:.300}",
            )
            require(not reader.gaps, f"the others were interrupted: {reader.gaps}")
            await consumer.unsubscribe(*_ODD)

    def _all_invalid(self, refused: object, bad: Sequence[str]) -> None:
        assert isinstance(refused, dict)
        require(set(refused) == set(bad), f"{len(bad)} are unusable, {len(refused)} were refused")
        for refusal in refused.values():
            require(refusal.kind == "invalid" and refusal.reason, f"refused as {refusal!r:.200}")

    async def _all_arrive(self, producer: Producer, reader: MessageReader, topics: Sequence[str]) -> None:
        before = len(reader.messages)
        for topic in topics:
            await publish_until_taken(producer, topic, b"all is well")
        await reader.until(
            lambda: {message.topic for message in reader.messages[before:]} >= {*topics},
            "a message of each other topic",
        )

    @needs("restricted")
    async def test_forbidden_topic_harms_no_other(self, broker: Workbench) -> None:
        """A forbidden topic is refused with the broker's words and never requested again; the others continue."""
        assert broker.provocations.restricted is not None
        heard = bytearray()
        with broker.provocations.restricted(broker.folder / f"restricted-{secrets.token_hex(4)}") as restricted:
            good = [f"{restricted.allowed}{broker.topic()}" for _ in range(_AT_ONCE)]
            theirs = f"theirs-{broker.topic()}"
            host = broker.endpoint(restricted.url).hosts[0]
            with TcpProxy(str(host), tap=heard.extend) as proxy:
                endpoint = broker.endpoint(with_address(restricted.url, proxy.address))
                async with (
                    broker.producer(endpoint) as producer,
                    broker.reader(endpoint=endpoint) as (consumer, reader),
                ):
                    batch = [*good[:5], theirs, *good[5:10]]
                    single = [consumer.subscribe(topic) for topic in (theirs, *good[10:])]
                    answers = await asyncio.gather(consumer.subscribe(*batch), *single)
                    for answer in answers[:2]:
                        require([*answer] == [theirs], f"refused: {answer}")
                        require(answer[theirs].kind == "forbidden" and answer[theirs].reason, f"refused as {answer}")
                    require(not any(answers[2:]), f"allowed topics were refused: {answers[2:]}")
                    if restricted.publish_is_answered:
                        refusal = await _refused_publish(producer, theirs)
                        require(refusal.kind == "forbidden", f"publish refused it as {refusal.kind}")
                    await self._all_arrive(producer, reader, good)
                    require(not reader.gaps, f"the others were interrupted: {reader.gaps}")
                    proxy.cut()
                    heard.clear()
                    proxy.restore()
                    await reader.until(lambda: reader.gaps, "a Gap")
                    await self._all_arrive(producer, reader, good)
                    require(theirs.encode() not in heard, "a refused topic is requested again after a reconnect")
