"""Poison in the broker: whatever an adapter delivers, later messages arrive, and no reason floods the log."""

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.api import Gap, Message
from server.frame import FrameMaker, Wire
from server.ledger import Ledger
from server.validation import EventValidator
from tests.server.made_up import ConnectionWriter, connect, event
from tests.server.test_subscriptions import Broker, linked, until

POISON: list[Any] = [
    Message("events", None),  # type: ignore[arg-type]
    Message("events", "text, not bytes"),  # type: ignore[arg-type]
    Message("events", 7),  # type: ignore[arg-type]
    Message("events", memoryview(b"no event")),  # type: ignore[arg-type]
    Message("events", bytearray(event("s", 1, "events"))),  # type: ignore[arg-type]
    Message("events", b"\xff\xfe"),
    Message("events", b"[" * 100_000),
    Message("events", b'{"stream":[],"seq":{},"topic":null,"phase":[],"due_ns":true,"sent_ns":1e400}'),
    Message("events", b'{"stream":"s","seq":18446744073709551616,"topic":"events","phase":"measure"}'),
    Message("\udcff", b""),
    Message(b"events", b"x"),  # type: ignore[arg-type]
    Message(["events"], b"x"),  # type: ignore[arg-type]
    Message(None, b"x"),  # type: ignore[arg-type]
]


async def test_messages_after_poison_arrive_and_the_consumer_continues(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "fanbench.server")
    broker = Broker()
    async with linked(broker) as link:
        writer = ConnectionWriter(link._hub)
        connect(link._hub, writer, ["events"])
        for seq in range(300):
            broker.items.put_nowait(Message("events", event("s", seq, "events")))
            for poison in POISON:
                broker.items.put_nowait(poison)
        broker.items.put_nowait(Message("events", event("s", 300, "events")))
        await until(lambda: "s-300" in writer.ids, "the event behind the poison")
        assert writer.ids == [f"s-{seq}" for seq in range(301)]
        assert broker.starts == 1
        foreign = link._hub.ledger.foreign
        assert sum(foreign.values()) >= 300 * 9, "all on a topic that is subscribed"
        assert len(caplog.records) <= 2 * len(foreign)


@pytest.mark.parametrize("cause", ["\udcff\udc80 undecodable", "\ud800", "line\r\nend", "\0"], ids=ascii)
async def test_a_gap_may_have_any_cause(cause: str) -> None:
    broker = Broker()
    async with linked(broker) as link:
        writer = ConnectionWriter(link._hub)
        connect(link._hub, writer, ["events"])
        broker.items.put_nowait(Gap(cause, None))
        broker.items.put_nowait(Message("events", event("s", 1, "events")))
        await until(lambda: writer.ids == ["s-1"], "the event behind the gap")
        assert len(writer.gaps) == 1
        assert broker.starts == 1


@given(st.text(), st.text(), st.integers() | st.none())
def test_every_gap_has_a_frame(topic: str, cause: str, lost: int | None) -> None:
    body = FrameMaker("r").gap(topic, cause, lost if lost is None else lost % 10**18, 0).on(Wire.PLAIN)
    assert body.endswith(b"\n\n")
    json.loads(body.partition(b"data: ")[2])


@given(st.one_of(st.binary(), st.text(), st.none(), st.integers(), st.lists(st.integers())))
def test_no_payload_raises(payload: Any) -> None:
    ledger = Ledger()
    assert EventValidator(1000, ledger).read("t", payload) is None
    assert sum(ledger.foreign.values()) == 1


async def test_a_reason_contains_no_value() -> None:
    """Otherwise a hostile publisher could fill the table of reasons, and the log."""
    ledger = Ledger()
    validator = EventValidator(1000, ledger)
    for i in range(500):
        validator.read("t", json.dumps({"stream": "s", f"field{i}": i, "seq": i}).encode())
        validator.read("t", f"no event {i}".encode())
        validator.read(f"t{i}", event("s", i, "t"))
    assert len(ledger.foreign) <= 5
