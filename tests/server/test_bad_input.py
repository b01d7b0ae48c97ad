"""Arbitrary input on every side: HTTP by schema and at random, the broker's side at random; secrets never leak."""

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokers.contenders import find_contender
from core.stamp import encode
from tests.server.program import Publisher, Replica, SseClient, run_to_end, running
from tests.waiting import wait_until

MARK = "m4rked-s3cret"
CHANCE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def target(valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    folder = tmp_path_factory.mktemp("target")
    with running(folder, broker_url=valkey, topic_linger_s=0, head_timeout_s=2, max_topics=50) as replica:
        yield replica
        assert replica.process.poll() is None
        assert "Traceback" not in replica.log.read_text()


@pytest.fixture(scope="module")
def sse_schema(target: Replica) -> object:
    status, body, _ = target.get("/openapi.json")
    assert status == 200
    import schemathesis  # half a CPU second, which only the worker that runs this test needs

    return schemathesis.openapi.from_dict(json.loads(body))


def raw(port: int, request: bytes) -> bytes:
    """The first bytes of the answer; empty if the connection was closed without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        try:
            sock.sendall(request)
            return sock.recv(65_536)
        except (ConnectionResetError, BrokenPipeError):
            return b""


@given(data=st.data())
@CHANCE
def test_every_described_request_gets_a_described_answer(
    target: Replica, sse_schema: object, data: st.DataObject
) -> None:
    """schemathesis makes the requests. They go over a socket, because a stream has no end to wait for."""
    operations = [result.ok() for result in sse_schema.get_all_operations()]  # type: ignore[attr-defined]
    operation = data.draw(st.sampled_from(operations), label="operation")
    case = data.draw(operation.as_strategy(), label="case")
    kwargs = case.as_transport_kwargs(base_url=f"http://127.0.0.1:{target.port}")
    import requests

    prepared = requests.Request(
        kwargs["method"], kwargs["url"], params=kwargs.get("params"), headers=kwargs.get("headers")
    ).prepare()
    head = f"{prepared.method} {prepared.path_url} HTTP/1.1\r\nHost: x\r\n".encode("latin-1", "replace")
    for name, value in prepared.headers.items():
        value_bytes = value if isinstance(value, bytes) else value.encode("latin-1", "replace")
        head += name.encode() + b": " + value_bytes + b"\r\n"
    status = int(raw(target.port, head + b"\r\n").split(b" ", 2)[1])
    assert status < 500 or status == 503
    assert str(status) in operation.definition.raw["responses"] or status in (404, 405)


@given(st.binary(max_size=400))
@CHANCE
def test_any_bytes_get_an_answer_or_a_closed_connection(target: Replica, data: bytes) -> None:
    answer = raw(target.port, data + b"\r\n\r\n")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert target.get("/healthz")[0] == 200


@given(st.binary(max_size=200).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")))
@CHANCE
def test_any_last_event_id_opens_a_stream(target: Replica, id: bytes) -> None:
    answer = raw(target.port, b"GET /sse HTTP/1.1\r\nHost: x\r\nLast-Event-ID: " + id + b"\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 "))


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda t: t.encode("utf-8", "surrogatepass")))
@CHANCE
def test_any_message_from_the_broker_leaves_the_stream_whole(
    target: Replica, publisher: Publisher, payload: bytes
) -> None:
    with SseClient(target.port, "/sse?topic=any") as client:
        client.opened()
        publisher.raw("any", payload)
        stamp = publisher.event("any")
        assert client.take_ids(1) == [stamp.id]
        assert client.body.count(b"\n\n") == 1


@pytest.mark.parametrize(
    ("first", "slow"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /healthz HTTP/1.1\r\nHost"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n"),
        (b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n", b"x"),
    ],
    ids=["half a head", "an empty line", "half a body"],
)
def test_a_slow_sender_is_refused_also_after_a_whole_request(target: Replica, first: bytes, slow: bytes) -> None:
    before = target.stats().turned_away
    with socket.create_connection(("127.0.0.1", target.port), timeout=20) as sock:
        sock.sendall(first)
        assert sock.recv(65_536).startswith(b"HTTP/1.1 ")
        sock.sendall(slow)
        while sock.recv(65_536):  # a timeout here is the failure: the connection stayed open
            pass
    assert target.stats().turned_away > before


def test_a_stream_whose_request_announced_a_body_continues(target: Replica, publisher: Publisher) -> None:
    with SseClient(target.port, "/sse?topic=bodied", {"Content-Length": "5"}) as client, socket.socket() as other:
        client.opened()
        before = target.stats().turned_away
        other.connect(("127.0.0.1", target.port))
        wait_until(lambda: target.stats().turned_away > before, "a connection as old is refused", 20)
        stamp = publisher.event("bodied")
        assert client.take_ids(1) == [stamp.id]
        assert b"HTTP/1.1 408" not in client.raw


def test_ten_thousand_connections_a_minute_leave_nothing(target: Replica) -> None:
    """About 1,700 at this machine's speed, a third of each kind: complete, half a head, nothing."""
    before = len(list(Path(f"/proc/{target.process.pid}/fd").iterdir()))
    for i in range(1700):
        with socket.create_connection(("127.0.0.1", target.port), timeout=30) as sock:
            if i % 3:
                sock.sendall(b"GET /sse HTTP/1.1\r\nHost: x\r\n" + (b"\r\n" if i % 3 == 1 else b""))
    wait_until(lambda: target.stats().clients == 0, "no client is left")
    descriptors = Path(f"/proc/{target.process.pid}/fd")
    wait_until(lambda: len(list(descriptors.iterdir())) <= before + 2, "no descriptor is left")


@pytest.mark.usefixtures("integration")
def test_a_marked_password_and_token_are_nowhere(folder: Path, tmp_path: Path) -> None:
    """Covers start, service, a broker that dies and comes back, and an end with an error."""
    seen = ""
    with find_contender("valkey").launched(tmp_path / "broker") as broker:
        port = int(broker.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(f"ACL SETUSER probe on >{MARK} ~* &* +@all\r\n".encode())
            assert sock.recv(100) == b"+OK\r\n"
        url = f"redis://probe:{MARK}@127.0.0.1:{port}"
        with running(folder, broker_url=url, token=MARK, access_log="true", log_level="debug") as replica:
            headers = {"Authorization": f"Bearer {MARK}"}
            publisher = Publisher(port)
            with SseClient(replica.port, f"/sse?token={MARK}") as client:
                client.opened()
                publisher.event()
                client.take(1)
                publisher.raw("events", encode(publisher.next_stamp("other")))
                publisher.close()
                for path in ("/stats", "/metrics", "/readyz", "/openapi.json", "/nothing", "/sse?topic=%20"):
                    seen += str(replica.get(path, headers))
                seen += str(replica.get(f"/sse?token={MARK}x"))
                for pid in broker.pids:
                    subprocess.run(["kill", "-KILL", str(pid)], check=True)
                wait_until(lambda: "connection lost" in replica.log.read_text(), "the loss is logged")
                seen += str(replica.get("/sse?topic=new", headers))
                seen += client.raw.decode()
            for name in ("cmdline", "comm"):
                seen += Path(f"/proc/{replica.process.pid}/{name}").read_text()
        seen += replica.log.read_text()
    ended = run_to_end({"broker_url": f"{url}/?nonsense=1", "port": 0})
    seen += ended.stdout + ended.stderr
    ended = run_to_end({"broker_url": url, "port": 0})
    seen += ended.stdout + ended.stderr
    assert "/sse?token=***" in seen
    assert MARK not in seen
