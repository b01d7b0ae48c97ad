"""`event: heartbeat`, for pages that must distinguish a quiet stream from a dead one."""

import json
from urllib.parse import quote

import pytest

from server.frame import Wire
from server.named_heartbeats import LONGEST_S, NamedHeartbeats
from tests.server.made_up import ConnectionWriter, connect, make_hub
from tests.server.program import Publisher, Replica, SseClient
from tests.server.test_websocket import Socket


async def test_each_interval_beats_at_its_pace_and_all_when_the_broker_goes() -> None:
    hub, here = make_hub(), [True]
    beats = NamedHeartbeats("r", "redis", lambda: here[0])
    writers = [ConnectionWriter(hub) for _ in range(12)]
    for place, writer in enumerate(writers):
        beats.add(connect(hub, writer), 2 if place < 6 else 3)

    def counts() -> list[int]:
        return [len(writer.events) for writer in writers]

    assert counts() == [1] * 12
    for _ in range(6):
        beats.tick()
    assert counts() == [4] * 6 + [3] * 6
    here[0] = False
    beats.tick()
    assert counts() == [5] * 6 + [4] * 6
    told = json.loads(writers[0].events[-1].data)
    assert (told["server"], told["broker"], told["broker_connected"], told["heartbeat_s"]) == ("r", "redis", False, 2)
    for writer in writers:
        assert writer.client is not None
        hub.leave(writer.client, "client left")
    for _ in range(3):
        beats.tick()
    assert counts() == [5] * 6 + [4] * 6
    assert beats._by_interval == {}


def test_a_requested_heartbeat_comes_at_once_and_keeps_the_last_id(replica: Replica, publisher: Publisher) -> None:
    with (
        SseClient(replica.port, "/sse?topic=beaten&heartbeat=1") as asks,
        SseClient(replica.port, "/sse?topic=beaten") as other,
    ):
        other.opened()
        first = asks.take(1)[0]
        assert first.event == "heartbeat"
        fields = json.loads(first.data)
        assert fields["server"] == "replica-1"
        assert fields["heartbeat_s"] == 1
        assert (fields["broker"], fields["broker_connected"]) == ("redis", True)
        stamp = publisher.event("beaten")
        events = asks.take(3)
        assert sum(event.event == "heartbeat" for event in events) == 2
        assert events[-1].id == stamp.id, "a heartbeat leaves the id as it is"
        assert other.take_ids(1) == [stamp.id]
        assert b"event: heartbeat" not in other.body


def test_over_a_websocket_it_is_a_message(replica: Replica) -> None:
    ws = Socket(replica.port, "/ws?topic=beaten&heartbeat=1").opened()
    for message in ws.take(2):
        assert message["event"] == "heartbeat"
    ws.sock.close()


@pytest.mark.parametrize("value", ["", "-1", "1.5", "often", str(LONGEST_S + 1), "9" * 5000, "\u0661"])
def test_an_interval_that_is_not_whole_seconds_is_refused(replica: Replica, value: str) -> None:
    status, body, _ = replica.get(f"/sse?heartbeat={quote(value)}")
    assert status == 400
    assert "?heartbeat=15" in json.loads(body)["error"]


def test_zero_means_no_heartbeat(replica: Replica, publisher: Publisher) -> None:
    with SseClient(replica.port, "/sse?heartbeat=0&topic=none") as client:
        client.opened()
        stamp = publisher.event("none")
        assert client.take_ids(1) == [stamp.id]


def test_every_wire_is_framed() -> None:
    beats = NamedHeartbeats("r", "redis", lambda: True)
    assert b"event: heartbeat" in beats._make(5, Wire.PLAIN)
    assert beats._make(5, Wire.CHUNKED).endswith(b"\n\n\r\n")
    assert beats._make(5, Wire.WEBSOCKET)[0] == 0x81
