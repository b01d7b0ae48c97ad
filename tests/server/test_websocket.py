"""GET /ws on the real program, read by wsproto's client."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection, events

from server.frame import ENDINGS, HEARTBEATS, FrameMaker, Wire, text_frame
from tests.server.program import Publisher, Replica, SseClient, running
from tests.waiting import wait_until


class Socket:
    """One WebSocket."""

    def __init__(self, port: int, path: str = "/ws", headers: Mapping[str, str] = {}, receive_bytes: int = 0) -> None:
        self.sock = socket.socket()
        if receive_bytes:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.sock.settimeout(20)
        self.sock.connect(("127.0.0.1", port))
        self.connection = WSConnection(ConnectionType.CLIENT)
        extra = [(name.encode(), value.encode()) for name, value in headers.items()]
        self.send(events.Request(host=f"127.0.0.1:{port}", target=path, extra_headers=extra))
        self.messages: list[dict[str, Any]] = []
        self.others: list[events.Event] = []
        self.text = ""
        self.ended = False

    def send(self, event: events.Event) -> None:
        self.sock.sendall(self.connection.send(event))

    def read_some(self) -> None:
        try:
            data = self.sock.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        self.ended = not data
        self.connection.receive_data(data or None)
        for event in self.connection.events():
            if isinstance(event, events.TextMessage):
                self.text += event.data
                if event.message_finished:
                    self.messages.append(json.loads(self.text))
                    self.text = ""
            else:
                self.others.append(event)

    def take(self, count: int) -> list[dict[str, Any]]:
        while len(self.messages) < count:
            assert not self.ended, self.others
            self.read_some()
        taken, self.messages = self.messages[:count], self.messages[count:]
        return taken

    def opened(self) -> "Socket":
        (hello,) = self.take(1)
        assert 500 <= hello.pop("retry_ms") <= 1500
        assert hello == {"event": "open", "server": "replica-1"}
        return self

    def read_to_end(self) -> None:
        while not self.ended:
            self.read_some()
        self.sock.close()


def test_the_same_events_as_over_sse(replica: Replica, publisher: Publisher) -> None:
    with SseClient(replica.port, "/sse?topic=ws") as sse:
        sse.opened()
        ws = Socket(replica.port, "/ws?topic=ws").opened()
        publisher.events(3, "ws", pad="x" * 300)
        publisher.events(3, "ws", pad="x" * 70_000)
        assert [json.loads(event.data) for event in sse.take(6)] == ws.take(6)
        ws.send(events.TextMessage("nobody listens"))
        ws.send(events.Ping(b"alive"))
        stamp = publisher.event("ws")
        assert ws.take(1)[0]["seq"] == stamp.seq
        assert replica.stats().topics["ws"] == 2
        ws.send(events.CloseConnection(1000))
        ws.read_to_end()
        assert {events.Pong, events.CloseConnection} <= {type(event) for event in ws.others}
    wait_until(lambda: "ws" not in replica.stats().topics, "both are gone")


def test_it_resumes_and_gaps_are_reported(replica: Replica, publisher: Publisher) -> None:
    first = Socket(replica.port, "/ws?topic=wsgap").opened()
    stamps = publisher.events(4, "wsgap")
    first.take(4)
    again = Socket(replica.port, f"/ws?topic=wsgap&last_event_id={stamps[1].id}").opened()
    assert [message["seq"] for message in again.take(2)] == [2, 3]
    lost = Socket(replica.port, "/ws?topic=wsgap&last_event_id=unknown-1").opened()
    gap, *rest = lost.take(5)
    assert (gap["event"], gap["topic"], gap["lost"]) == ("gap", "wsgap", None)
    assert [message["seq"] for message in rest] == [0, 1, 2, 3]
    for ws in (first, again, lost):
        ws.sock.close()


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/ws", {}, 401),
        ("/ws?token=t0ken&topic=a%20b", {}, 400),
        ("/ws?token=t0ken", {"Origin": "https://elsewhere.org"}, 403),
        ("/elsewhere?token=t0ken", {}, 403),
    ],
)
def test_a_refusal_is_an_http_answer(guarded: Replica, path: str, headers: dict[str, str], status: int) -> None:
    ws = Socket(guarded.port, path, headers)
    ws.read_to_end()
    (answer,) = [event for event in ws.others if isinstance(event, events.RejectConnection)]
    assert answer.status_code == status


def test_only_this_site_and_named_ones_may_listen(guarded: Replica) -> None:
    for origin in (f"http://127.0.0.1:{guarded.port}", "https://example.org"):
        Socket(guarded.port, "/ws?token=t0ken", {"Origin": origin}).opened().sock.close()


@pytest.fixture(scope="module")
def guarded(valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    settings = {"token": "t0ken", "cors_origins": "https://example.org"}
    with running(tmp_path_factory.mktemp("guarded"), broker_url=valkey, **settings) as replica:
        yield replica


def test_a_slow_one_is_dropped_and_a_stop_closes_the_others(valkey: str, publisher: Publisher, folder: Path) -> None:
    settings = {
        "client_buffer_bytes": 65_536, "max_event_bytes": 65_536, "send_buffer_bytes": 16_384, "heartbeat_s": 1
    }  # fmt: skip
    with running(folder, broker_url=valkey, **settings) as replica:
        good = Socket(replica.port).opened()
        bad = Socket(replica.port, receive_bytes=4096).opened()
        for _ in range(400):
            publisher.event(pad="x" * 4000)
            good.take(1)
            if replica.stats().disconnects:
                break
        assert replica.stats().disconnects == {"slow": 1}
        while not any(isinstance(event, events.Ping) for event in good.others):
            good.read_some()
        replica.process.terminate()
        assert replica.process.wait(5) == 0
        good.read_to_end()
        closed = [event.code for event in good.others if isinstance(event, events.CloseConnection)]
        assert closed[0] == 1001
        bad.sock.close()
        assert "Traceback" not in replica.log.read_text()


@given(st.binary(max_size=300).map(bytes.hex) | st.sampled_from(["x" * n for n in (125, 126, 65_535, 65_536)]))
def test_frames_are_what_a_client_reads(text: str) -> None:
    client = WSConnection(ConnectionType.CLIENT)
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(client.send(events.Request(host="x", target="/")))
    list(server.events())
    client.receive_data(server.send(events.AcceptConnection()))
    list(client.events())
    gap = FrameMaker("r").gap("t", "cause", 3, 0).on(Wire.WEBSOCKET)
    client.receive_data(text_frame(text.encode()) + gap + HEARTBEATS[Wire.WEBSOCKET] + ENDINGS[Wire.WEBSOCKET])
    message, told, ping, close = list(client.events())
    assert isinstance(message, events.TextMessage)
    assert message.data == text
    assert isinstance(told, events.TextMessage)
    assert json.loads(told.data) == {"event": "gap", "server": "r", "cause": "cause", "lost": 3, "topic": "t"}
    assert isinstance(ping, events.Ping)
    assert isinstance(close, events.CloseConnection)
