"""The real program behind a real broker: the bytes on the wire, admission, and how it ends."""

import json
import re
import selectors
import socket
import subprocess
import time
from pathlib import Path

import httpx
import httpx_sse
import pytest

from brokers.contenders import find_contender
from core.contracts.codec import read
from core.contracts.generator_report import GeneratorReport
from core.ports import free_port
from core.stamp import encode
from tests.server.program import Publisher, Replica, SseClient, run_to_end, running
from tests.waiting import wait_until


def test_a_stream_on_the_wire(replica: Replica, publisher: Publisher) -> None:
    with SseClient(replica.port) as client:
        client.opened()
        head = client.head.decode().lower()
        assert head.startswith("http/1.1 200 ok")
        for header in (
            "content-type: text/event-stream",
            "cache-control: no-store, no-transform",
            "transfer-encoding: chunked",
        ):
            assert header in head
        assert re.fullmatch(rb": fanbench replica-1\nretry: \d+\n", client.body)
        stamps = publisher.events(3)
        events = client.take(3)
        assert [event.id for event in events] == [stamp.id for stamp in stamps]
        first = json.loads(events[0].data)
        assert list(first)[:2] == ["server", "received_ns"]
        assert first["server"] == "replica-1"
        assert stamps[0].sent_ns <= first["received_ns"] <= time.time_ns()
        published = json.loads(encode(stamps[0], "x" * 40))
        assert {key: first[key] for key in published} == published
        raw_event = client.raw.partition(b"\r\n\r\n")[2].split(b"id: ")[1]
        assert raw_event.count(b"\r\n") == 2, "one event is one chunk"


def test_http_1_0_gets_no_chunks_and_the_same_events(replica: Replica, publisher: Publisher) -> None:
    with SseClient(replica.port, version="1.0") as client:
        client.opened()
        assert b"chunked" not in client.head
        assert b"connection: close" in client.head
        stamps = publisher.events(3)
        assert client.take_ids(3) == [stamp.id for stamp in stamps]


def test_third_party_clients_read_it(replica: Replica, publisher: Publisher) -> None:
    url = f"http://127.0.0.1:{replica.port}/sse?topic=httpx"
    with httpx.Client(timeout=20) as http, httpx_sse.connect_sse(http, "GET", url) as source:
        stamps = publisher.events(5, "httpx")
        events = source.iter_sse()
        assert [next(events).id for _ in range(5)] == [stamp.id for stamp in stamps]


def test_a_heartbeat_is_not_an_event_for_third_party_clients(valkey: str, publisher: Publisher, folder: Path) -> None:
    """httpx-sse ends an event at a blank line as soon as it has an id or a retry time."""
    with running(folder, broker_url=valkey, heartbeat_s=1) as replica, SseClient(replica.port) as raw:
        raw.opened()
        url = f"http://127.0.0.1:{replica.port}/sse"
        with httpx.Client(timeout=20) as http, httpx_sse.connect_sse(http, "GET", url) as source:
            events = source.iter_sse()
            replica.wait_clients(2)
            stamps = publisher.events(2)
            assert [next(events).id for _ in range(2)] == [stamp.id for stamp in stamps]
            beats = raw.body.count(b"\n:")
            while raw.body.count(b"\n:") < beats + 3:
                raw.read_some()
            stamps = publisher.events(2)
            assert [next(events).id for _ in range(2)] == [stamp.id for stamp in stamps]


def test_topics_are_subscribed_for_the_first_client_and_dropped_after_the_last(
    replica: Replica, publisher: Publisher
) -> None:
    assert publisher.raw("room", b"nobody is there") == 0
    with SseClient(replica.port, "/sse?topic=room&topic=other+room".replace("+", "%2D")) as client:
        client.opened()
        stamp = publisher.event("room")
        other = publisher.event("other-room")
        assert client.take_ids(2) == [stamp.id, other.id]
        assert replica.stats().topics["room"] == 1
    wait_until(lambda: publisher.raw("room", b"{}") == 0, "unsubscribed after the linger")
    assert "room" not in replica.stats().topics


def test_a_client_resumes_where_it_left_off(replica: Replica, publisher: Publisher) -> None:
    with SseClient(replica.port, "/sse?topic=resume") as client:
        client.opened()
        first = publisher.events(3, "resume")
        client.take(3)
    missed = publisher.events(4, "resume")
    for path, headers in (
        ("/sse?topic=resume", {"Last-Event-ID": first[-1].id}),
        (f"/sse?topic=resume&last_event_id={first[-1].id}", {}),
        (f"/sse?topic=resume&last_event_id=resume:{first[-1].id}", {}),
        (f"/sse?topic=resume&last_event_id={first[0].id}", {"Last-Event-ID": first[-1].id}),
        ("/sse?topic=resume", {"Last-Event-ID": f"\t {first[-1].id} \t"}),
        ("/sse?topic=resume", {"LAST-EVENT-ID": first[-1].id}),
        # event-source-polyfill, old and current Mercure hubs, and what people write by hand
        *(
            (f"/sse?topic=resume&{name}={first[-1].id}", {})
            for name in ("lastEventId", "Last-Event-ID", "lastEventID", "lasteventid", "last-event-id", "Last_Event_Id")
        ),
    ):
        with SseClient(replica.port, path, headers) as client:
            assert client.take_ids(4) == [stamp.id for stamp in missed]


def test_a_resumed_client_and_live_events_join(replica: Replica, publisher: Publisher) -> None:
    with SseClient(replica.port, "/sse?topic=join") as first:
        first.opened()
        stamps = publisher.events(600, "join")
        clients = [SseClient(replica.port, "/sse?topic=join", {"Last-Event-ID": stamps[i * 50].id}) for i in range(10)]
        stamps += publisher.events(100, "join")
        for i, client in enumerate(clients):
            with client:
                assert client.take_ids(699 - i * 50) == [stamp.id for stamp in stamps[i * 50 + 1 :]]


@pytest.mark.parametrize(
    "id", ["k3f9-1", "'; drop table events", "-" * 4000, "%00", "\u00e9", "s-99999999999999999999"]
)
def test_an_unknown_id_brings_a_gap_first(replica: Replica, publisher: Publisher, id: str) -> None:
    with SseClient(replica.port, "/sse?topic=gap") as keeper:
        keeper.opened()
        stamp = publisher.event("gap")
        keeper.take(1)
        with SseClient(replica.port, "/sse?topic=gap", {"Last-Event-ID": id}) as client:
            (gap,) = client.take(1)
            assert gap.event == "gap"
            fields = json.loads(gap.data)
            assert fields.keys() == {"server", "cause", "lost", "topic"}
            assert fields["topic"] == "gap"
            while client.take_ids(1) != [stamp.id]:
                pass


@pytest.mark.parametrize(
    "name", ["since", "id", "lastId", "cursor", "event_id", "from_id", "lastEventIds", "X-Last-Event-ID", "offset"]
)
def test_an_unsupported_resume_parameter_brings_a_gap(replica: Replica, publisher: Publisher, name: str) -> None:
    with SseClient(replica.port, "/sse?topic=hint") as keeper:
        keeper.opened()
        stamp = publisher.event("hint")
        keeper.take(1)
        path, headers = f"/sse?topic=hint&{name}={stamp.id}", {}
        if name.startswith("X-"):
            path, headers = "/sse?topic=hint", {name: stamp.id}
        with SseClient(replica.port, path, headers) as client:
            (gap,) = client.take(1)
            assert gap.event == "gap"
            assert f"'{name}' is not read" in json.loads(gap.data)["cause"].replace(name.lower(), name)
            assert "last_event_id" in json.loads(gap.data)["cause"]


def test_foreign_events_are_skipped_and_counted(replica: Replica, publisher: Publisher) -> None:
    before = replica.stats().foreign
    with SseClient(replica.port, "/sse?topic=foreign") as client:
        client.opened()
        stamp = publisher.next_stamp("foreign")
        bad = [
            b"hello",
            b"\xff\xfe\x00",
            b"",
            b'{"stream":"x","seq":1}',
            encode(stamp).replace(b'"seq"', b'\n"seq"'),
            encode(publisher.next_stamp("elsewhere")),
            b'{"pad":"' + b"x" * (1 << 20) + b'"}',
            b"data: injected\n\nevent: gap\n\n",
        ]
        for payload in bad * 20:
            publisher.raw("foreign", payload)
        assert publisher.raw("foreign", encode(stamp)) == 1
        assert client.take_ids(1) == [stamp.id]
        assert client.body.count(b"\n\n") == 1, "the opening comment and one event"
    found = replica.stats().foreign
    counted = sum(found.values()) - sum(before.values())
    assert counted == len(bad) * 20
    assert {"not UTF-8 JSON", "not one line", "too large", "topic mismatch"} <= set(found)
    assert replica.log.read_text().count("skipped a message") <= 3 * len(found)


def test_a_client_that_does_not_read_is_dropped_with_a_reason_and_can_resume(
    valkey: str, publisher: Publisher, folder: Path
) -> None:
    settings = {"client_buffer_bytes": 65_536, "max_event_bytes": 65_536, "send_buffer_bytes": 16_384}
    with running(folder, broker_url=valkey, **settings) as replica:
        good = SseClient(replica.port).opened()
        bad = SseClient(replica.port, receive_buffer_bytes=4096).opened()
        stamps = []
        for _ in range(400):
            stamps.append(publisher.event(pad="x" * 4000))
            good.take(1)
            if replica.stats().disconnects:
                break
        stats = replica.stats()
        assert stats.disconnects == {"slow": 1}
        assert stats.clients == 1
        assert stats.buffered_bytes == 0
        bad.read_to_end()
        got = [event.id for event in bad.events]
        assert got == [stamp.id for stamp in stamps[: len(got)]]
        assert len(stamps) > len(got) > 0
        assert stats.delivered + stats.dropped == 2 * len(stamps)
        assert stats.dropped >= 65_536 // 4500
        with SseClient(replica.port, headers={"Last-Event-ID": got[-1]}) as again:
            assert again.take_ids(len(stamps) - len(got)) == [stamp.id for stamp in stamps[len(got) :]]
        for client in (good, bad):
            client.sock.close()


@pytest.mark.parametrize("batch_sends", [True, False])
def test_many_clients_get_every_event_although_one_does_not_read(
    valkey: str, publisher: Publisher, folder: Path, batch_sends: bool
) -> None:
    bounds = {"client_buffer_bytes": 65_536, "max_event_bytes": 65_536, "send_buffer_bytes": 16_384}
    with running(folder, broker_url=valkey, batch_sends=batch_sends, **bounds) as replica:
        if batch_sends and not replica.stats().batch_sends:
            pytest.skip(f"no io_uring here: {replica.log.read_text()}")
        assert replica.stats().batch_sends is batch_sends
        clients = [SseClient(replica.port).opened() for _ in range(40)]
        stuck = SseClient(replica.port, receive_buffer_bytes=4096).opened()
        replica.wait_clients(41)
        stamps = []
        while not replica.stats().disconnects:
            stamps += publisher.events(5, pad="x" * 4000)
            assert len(stamps) < 400
        stamps += publisher.events(5)
        for client in clients:
            assert client.take_ids(len(stamps)) == [stamp.id for stamp in stamps]
        stats = replica.stats()
        assert stats.disconnects == {"slow": 1}
        stuck.read_to_end()
        got = [event.id for event in stuck.events]
        assert got == [stamp.id for stamp in stamps[: len(got)]]
        assert stats.dropped > 0
        # What the stuck client received: everything except events after its end, whose number is unknown.
        assert 40 * len(stamps) + len(got) <= stats.delivered <= 41 * len(stamps) - stats.dropped
        for client in [*clients, stuck]:
            client.sock.close()


def test_a_thousand_streams_end_cleanly_within_five_seconds_of_sigterm(valkey: str, folder: Path) -> None:
    with running(folder, broker_url=valkey) as replica:
        clients = [SseClient(replica.port) for _ in range(1000)]
        replica.wait_clients(1000)
        replica.process.terminate()
        assert replica.process.wait(5) == 0
        for client in clients:
            client.read_to_end()
            assert client.terminated
            client.sock.close()
    assert "Traceback" not in replica.log.read_text()


def test_clients_that_are_refused_together_return_spread_out(valkey: str, folder: Path) -> None:
    with running(folder, broker_url=valkey, stop_spread_s=0, max_clients=100, retry_after_s=6) as replica:
        clients = [SseClient(replica.port).opened() for _ in range(100)]
        retries_ms = sorted(int(client.body.split(b"retry: ")[1]) for client in clients)
        assert retries_ms[0] >= 500
        assert retries_ms[-1] <= 1500
        assert max(sum(ms <= other < ms + 100 for other in retries_ms) for ms in retries_ms) <= 40
        later_s = {int(replica.get("/sse")[2]["retry-after"]) for _ in range(60)}
        assert later_s <= set(range(3, 10))
        assert len(later_s) >= 4
        for client in clients:
            client.sock.close()


def test_at_sigterm_the_oldest_streams_end_first_and_the_others_continue(
    valkey: str, publisher: Publisher, folder: Path
) -> None:
    with running(folder, broker_url=valkey, stop_spread_s=3) as replica:
        clients = [SseClient(replica.port).opened() for _ in range(300)]
        replica.process.terminate()
        clients[0].read_to_end()
        assert clients[0].terminated
        stamp = publisher.event()
        assert clients[-1].take_ids(1) == [stamp.id]
        assert replica.get("/readyz")[0] == 503
        status, body, headers = replica.get("/sse")
        assert status == 503
        assert "another one" in json.loads(body)["error"]
        assert int(headers["retry-after"]) >= 1
        order = []
        with selectors.DefaultSelector() as selector:
            for place, client in enumerate(clients[1:], start=1):
                selector.register(client.sock, selectors.EVENT_READ, place)
            while selector.get_map():
                for key, _ in selector.select(20):
                    client = clients[key.data]
                    client.read_some()
                    if client.ended:
                        assert client.terminated
                        order.append(key.data)
                        selector.unregister(client.sock)
        assert sum(place < 150 for place in order[:150]) >= 120, "the older half ended first"
        assert replica.process.wait(30) == 0
    assert "Traceback" not in replica.log.read_text()


def test_a_second_sigterm_ends_every_stream_at_once(valkey: str, folder: Path) -> None:
    with running(folder, broker_url=valkey, stop_spread_s=600) as replica:
        clients = [SseClient(replica.port).opened() for _ in range(300)]
        replica.process.terminate()
        clients[0].read_to_end()
        replica.process.terminate()
        for client in clients:
            client.read_to_end()
            assert client.terminated
        assert replica.process.wait(30) == 0


def test_streams_end_at_a_certain_age_not_all_at_once(valkey: str, publisher: Publisher, folder: Path) -> None:
    with running(folder, broker_url=valkey, max_stream_age_s=4) as replica:
        clients = [SseClient(replica.port).opened() for _ in range(100)]
        stamp = publisher.event()
        seen = {0}
        while len(seen) < 3:  # 0, some of them, and some more
            seen.add(replica.stats().disconnects.get("max age", 0))
            assert seen != {0, 100}, "all at once"
        for client in clients:
            client.read_to_end()
            assert client.terminated
            assert [event.id for event in client.events] == [stamp.id]
        assert replica.stats().disconnects == {"max age": 100}
        with SseClient(replica.port, headers={"Last-Event-ID": stamp.id}) as again:
            again.opened()
            stamp = publisher.event()
            assert again.take_ids(1) == [stamp.id]


@pytest.mark.usefixtures("integration")
def test_it_stops_in_time_although_clients_do_not_read_and_the_broker_is_gone(folder: Path, tmp_path: Path) -> None:
    with find_contender("valkey").launched(tmp_path / "broker") as broker:
        publisher = Publisher(int(broker.url.rpartition(":")[2]))
        with running(folder, broker_url=broker.url, send_buffer_bytes=16_384) as replica:
            stuck = [SseClient(replica.port, receive_buffer_bytes=4096).opened() for _ in range(20)]
            for _ in range(30):
                publisher.event(pad="x" * 10_000)
            wait_until(lambda: replica.stats().buffered_bytes > 0, "clients are stuck")
            publisher.close()
            for pid in broker.pids:
                subprocess.run(["kill", "-STOP", str(pid)], check=True)
            replica.process.terminate()
            assert replica.process.wait(5) == 0
            for client in stuck:
                client.sock.close()
        for pid in broker.pids:
            subprocess.run(["kill", "-CONT", str(pid)], check=True)


@pytest.mark.usefixtures("integration")
def test_a_single_replica_generates_events_and_writes_the_report(folder: Path) -> None:
    report = folder / "report.json"
    with running(folder, broker_url="memory://", rate_hz=100, report=report) as replica:
        with SseClient(replica.port) as client:
            events = client.take(20)
        seqs = [json.loads(event.data)["seq"] for event in events]
        assert seqs == list(range(seqs[0], seqs[0] + 20))
        replica.process.terminate()
        assert replica.process.wait(30) == 0
    found = read(GeneratorReport, report)
    assert found is not None
    assert found.measured()["events"] > 20
    assert found.stream == events[0].id.partition("-")[0]


def test_it_generates_through_a_broker_when_told_to(valkey: str, folder: Path) -> None:
    with (
        running(folder, broker_url=valkey, generate="true", topics="both") as one,
        running(folder, broker_url=valkey, generate="true", topics="both") as two,
        SseClient(one.port, "/sse?topic=both") as client,
        SseClient(two.port, "/sse?topic=both") as other,
    ):
        assert len({event.id.partition("-")[0] for event in client.take(20)}) == 2
        assert len({event.id.partition("-")[0] for event in other.take(20)}) == 2


@pytest.mark.usefixtures("integration")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"broker_url": "rediz://localhost"}, ["rediz", "redis"]),
        ({"broker_url": "nonsense"}, ["nonsense", "scheme"]),
        ({"port": "0x50"}, ["FANBENCH_PORT='0x50'"]),
        ({"host": "no-such-host.invalid"}, ["no-such-host.invalid", "FANBENCH_HOST"]),
        ({"topics": "a b"}, ["'a b'"]),
        ({"client_buffer_bytes": "20000"}, ["20000", "max_event_bytes"]),
        ({"delivery": "exactly-once"}, ["FANBENCH_DELIVERY='exactly-once'"]),
        ({"broker_url": "memory://", "rate_hz": "0"}, ["FANBENCH_RATE_HZ='0'"]),
    ],
)
def test_settings_that_cannot_be_used_get_one_line(settings: dict[str, object], words: list[str]) -> None:
    ended = run_to_end({"port": free_port(), **settings})
    line = ended.stderr.strip().splitlines()[-1]
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    for word in words:
        assert word in line


def test_a_port_in_use_gets_one_line(replica: Replica) -> None:
    ended = run_to_end({"port": replica.port})
    assert ended.returncode == 1, "it may be free the next time"
    (line,) = ended.stderr.strip().splitlines()
    assert f"127.0.0.1:{replica.port}" in line
    assert "FANBENCH_PORT" in line


@pytest.mark.usefixtures("integration")
def test_a_broker_that_does_not_answer_gets_one_line_in_time_and_no_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (free_port(), silent.getsockname()[1]):
            ended = run_to_end({"port": 0, "broker_url": f"redis://user:sekret@127.0.0.1:{port}"})
            assert ended.returncode == 1, "it may answer the next time"
            assert "cannot connect" in ended.stderr.splitlines()[-1]
            assert "Traceback" not in ended.stderr
            assert "sekret" not in ended.stderr + ended.stdout


@pytest.mark.usefixtures("integration")
def test_help_names_every_setting() -> None:
    ended = run_to_end({}, "--help")
    assert ended.returncode == 0
    for option in ("--broker-url", "--history-events", "--client-buffer-bytes", "--token", "--max-clients"):
        assert option in ended.stdout
