"""MQTT in production: sessions that end, refusals by name, both versions, WebSocket, certificates."""

import asyncio
import logging
import socket
import struct
from contextlib import contextmanager

import aiomqtt
import pytest
import trustme

from brokers.api import Gap
from brokers.errors import BrokerError, CauseKind
from brokers.mqtt_client import ClientPlan
from brokers.mqtt_codes import kind_of, refusal_of_code
from brokers.mqtt_link import Connection, connect, disconnect
from brokers.programs.catalogue import PROGRAMS
from brokers.programs.mosquitto import local_config
from brokers.programs.probe import mqtt_answers
from brokers.programs.running import Running, launch
from brokers.registry import open_endpoint
from core.errors import UsageError
from core.ports import free_ports
from core.process import spawn
from core.tcp_proxy import TcpProxy
from tests.missing import missing

DEADLINE_S = 20


@contextmanager
def mosquitto(folder, *lines):
    """A Mosquitto with more lines in its configuration; `{port}` in them is a second port. Returns both ports."""
    program = PROGRAMS["mosquitto"]
    if program.find() is None:
        missing(program.install_hint)
    port, other = free_ports(2)
    config, data = folder / "mosquitto.conf", folder / "data"
    more = [line.format(port=other) for line in lines]
    config.write_text("\n".join([*local_config(port, data, stock=False), "sys_interval 1", *more]) + "\n")
    running = Running(
        name="mosquitto",
        listeners={"mqtt": f"127.0.0.1:{port}"},
        data=data,
        spawn=lambda: spawn("mosquitto", [program.require(), "-c", config], folder / "log", cwd=data),
        ready=lambda: mqtt_answers(port),
    )
    with launch(running):
        yield port, other


async def round_trip(url, delivery=None):
    adapter, endpoint = open_endpoint(url, delivery)
    async with adapter.producer(endpoint) as producer, adapter.consumer(endpoint) as consumer:
        assert not await consumer.subscribe("there-and-back")
        await producer.publish("there-and-back", b"payload")
        async with asyncio.timeout(DEADLINE_S):
            assert (await anext(aiter(consumer))).payload == b"payload"


async def refusal_to_connect(url):
    adapter, endpoint = open_endpoint(url)
    errors = []
    for side in (adapter.producer, adapter.consumer):
        with pytest.raises(BrokerError) as caught:
            async with asyncio.timeout(endpoint.timeout_s / 2), side(endpoint):  # reported, without a useless wait
                pass
        errors.append(caught.value)
    assert errors[0].cause == errors[1].cause
    return errors[0]


async def offline_sessions(port, condition):
    """Wait until the broker has this number of sessions without a connection."""
    async with aiomqtt.Client("127.0.0.1", port) as client, asyncio.timeout(DEADLINE_S):
        await client.subscribe("$SYS/broker/clients/disconnected")
        async for message in client.messages:
            if condition(int(message.payload)):
                return


async def dies(port, url_options):
    """A QoS 1 consumer whose connection is lost without a DISCONNECT."""
    with TcpProxy(f"127.0.0.1:{port}") as proxy:
        adapter, endpoint = open_endpoint(f"mqtt://{proxy.address}?qos=1{url_options}")
        async with adapter.consumer(endpoint) as consumer:
            await consumer.subscribe("topic")
            proxy.cut()


@pytest.mark.usefixtures("integration")
async def test_the_session_of_a_killed_consumer_expires(tmp_path):
    with mosquitto(tmp_path) as (port, _):
        await dies(port, "&session_expiry_s=3")
        await dies(port, "&session_expiry_s=3")
        await offline_sessions(port, lambda number: number == 2)
        await offline_sessions(port, lambda number: number == 0)


@pytest.mark.usefixtures("integration")
async def test_clean_up_removes_a_runs_sessions_from_the_broker(tmp_path):
    with mosquitto(tmp_path) as (port, _):
        for name in ("run-1", "run-1", "run-2"):
            await dies(port, f"&run_name={name}&session_expiry_s=600")
        await offline_sessions(port, lambda number: number == 3)
        for name, left in (("run-1", 1), ("run-2", 0)):
            adapter, endpoint = open_endpoint(f"mqtt://127.0.0.1:{port}?qos=1&run_name={name}")
            await adapter.clean_up(endpoint)
            await offline_sessions(port, lambda number, left=left: number == left)


@pytest.mark.usefixtures("integration")
async def test_under_3_1_1_the_next_start_takes_over_the_session(tmp_path):
    options = "&version=3.1.1&client_id=replica-1"
    with mosquitto(tmp_path) as (port, _):
        await dies(port, options)
        await dies(port, options)
        await offline_sessions(port, lambda number: number == 1)
        await round_trip(f"mqtt://127.0.0.1:{port}?qos=1{options}")  # a clean close leaves none
        await offline_sessions(port, lambda number: number == 0)


@pytest.mark.usefixtures("integration")
@pytest.mark.parametrize("options", ["", "&version=3.1.1&client_id=replica-1"])
async def test_messages_kept_by_a_session_arrive_after_a_lost_connection(options, tmp_path):
    with mosquitto(tmp_path) as (port, _), TcpProxy(f"127.0.0.1:{port}") as proxy:
        adapter, endpoint = open_endpoint(f"mqtt://{proxy.address}?qos=1{options}")
        async with (
            adapter.consumer(endpoint) as consumer,
            adapter.producer(open_endpoint(f"mqtt://127.0.0.1:{port}?qos=1")[1]) as producer,
        ):
            await consumer.subscribe("topic")
            proxy.cut()
            await producer.publish("topic", b"while away")
            proxy.restore()
            async with asyncio.timeout(DEADLINE_S):
                assert isinstance(await anext(aiter(consumer)), Gap)
                assert (await anext(aiter(consumer))).payload == b"while away"


async def test_at_least_once_under_3_1_1_needs_a_name():
    adapter, endpoint = open_endpoint("mqtt://127.0.0.1:1?qos=1&version=3.1.1")
    with pytest.raises(UsageError, match="leave forever; give each replica its own client_id"):
        async with adapter.consumer(endpoint):
            pass


@pytest.mark.usefixtures("integration")
@pytest.mark.parametrize("options", ["version=3.1.1", "version=5", "qos=1&version=5", "version=5&client_id=me"])
async def test_each_version(options, tmp_path):
    with mosquitto(tmp_path) as (port, _):
        await round_trip(f"mqtt://127.0.0.1:{port}?{options}")


@pytest.mark.usefixtures("integration")
async def test_a_broker_without_version_5_says_so(tmp_path):
    with PROGRAMS["nats"].start(tmp_path, ["mqtt"]) as running:
        error = await refusal_to_connect(f"mqtt://{running.listeners['mqtt']}?version=5")
        assert error.kind is CauseKind.WRONG_PROTOCOL
        assert "protocol version" in str(error)


@pytest.mark.usefixtures("integration")
async def test_a_rejected_client_id_is_reported_as_such(tmp_path):
    with PROGRAMS["nats"].start(tmp_path, ["mqtt"]) as running:
        error = await refusal_to_connect(f"mqtt://{running.listeners['mqtt']}?client_id=has%20a%20blank")
        assert error.kind is CauseKind.INVALID
        assert "Client identifier not valid" in error.cause


@pytest.mark.usefixtures("integration")
async def test_a_retained_message_is_history(tmp_path):
    with mosquitto(tmp_path) as (port, _):
        async with aiomqtt.Client("127.0.0.1", port) as client:
            await client.publish("there-and-back", b"of last week", retain=True)
        await round_trip(f"mqtt://127.0.0.1:{port}")


@pytest.mark.usefixtures("integration")
async def test_a_payload_over_the_brokers_limit_harms_nobody(tmp_path):
    with mosquitto(tmp_path, "max_packet_size 2000") as (port, _):
        adapter, endpoint = open_endpoint(f"mqtt://127.0.0.1:{port}?version=5")
        async with adapter.producer(endpoint) as producer:
            with pytest.raises(BrokerError, match="too large") as caught:
                await producer.publish("topic", bytes(2000))
            assert caught.value.kind is CauseKind.LIMIT
            await producer.publish("topic", bytes(1900))
            assert producer.link.connected


@pytest.mark.usefixtures("integration")
async def test_the_brokers_reason_for_ending_the_connection_is_reported(tmp_path):
    with mosquitto(tmp_path, "max_packet_size 2000") as (port, _):
        connection = Connection(open_endpoint(f"mqtt://127.0.0.1:{port}")[1], ClientPlan("one", 5))
        await connect(connection)
        connection.client._client.publish("topic", bytes(3000))
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(ConnectionError, match="Packet too large"):
                await connection.until_lost()
        await disconnect(connection)


@pytest.mark.usefixtures("integration")
async def test_a_connection_limit_is_reported_at_once(tmp_path):
    with mosquitto(tmp_path, "max_connections 1") as (port, _):
        # Mosquitto 2.0 accepts one more than its limit.
        async with aiomqtt.Client("127.0.0.1", port), aiomqtt.Client("127.0.0.1", port):
            error = await refusal_to_connect(f"mqtt://127.0.0.1:{port}")
            assert "connection limit" in error.cause
            assert error.transient


@pytest.mark.parametrize("by_reset", [False, True])
async def test_a_hang_up_gives_the_same_error_by_end_and_by_reset(by_reset):
    async def hang_up(reader, writer):
        await reader.read(1)
        if by_reset:
            option = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        error = await refusal_to_connect(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert "connection limit" in error.cause
        assert error.transient


@pytest.fixture
def authority(tmp_path):
    found = trustme.CA()
    found.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = found.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(str(tmp_path / "server.key"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "server.pem"))
    client = found.issue_cert("client@example.org")
    client.private_key_pem.write_to_path(str(tmp_path / "client.key"))
    client.cert_chain_pems[0].write_to_path(str(tmp_path / "client.pem"))
    return found


def with_tls(folder, *lines):
    files = (f"cafile {folder / 'ca.pem'}", f"certfile {folder / 'server.pem'}", f"keyfile {folder / 'server.key'}")
    return ("listener {port} 127.0.0.1", *lines, *files, "allow_anonymous true")


@pytest.mark.usefixtures("integration", "authority")
async def test_a_required_certificate_is_reported_as_such(tmp_path):
    with mosquitto(tmp_path, *with_tls(tmp_path, "require_certificate true")) as (_, port):
        url = f"mqtts://localhost:{port}?ca_file={tmp_path / 'ca.pem'}"
        error = await refusal_to_connect(url)
        assert error.kind is CauseKind.TLS_CLIENT, str(error)
        assert "cert_file" in str(error)
        await round_trip(f"{url}&cert_file={tmp_path / 'client.pem'}&key_file={tmp_path / 'client.key'}")


@pytest.mark.usefixtures("integration")
@pytest.mark.parametrize("path", ["", "/mqtt", "/some/where"])
async def test_over_websocket(path, tmp_path):
    with mosquitto(tmp_path, "listener {port} 127.0.0.1", "protocol websockets") as (_, port):
        await round_trip(f"mqtt+ws://127.0.0.1:{port}{path}")
        await round_trip(f"mqtt+ws://127.0.0.1:{port}{path}?qos=1")


@pytest.mark.usefixtures("integration", "authority")
async def test_over_websocket_with_tls(tmp_path):
    with mosquitto(tmp_path, *with_tls(tmp_path, "protocol websockets")) as (_, port):
        await round_trip(f"mqtt+wss://localhost:{port}/mqtt?ca_file={tmp_path / 'ca.pem'}")
        error = await refusal_to_connect(f"mqtt+wss://localhost:{port}/mqtt")
        assert error.kind is CauseKind.TLS_UNTRUSTED


@pytest.mark.parametrize(
    ("code", "qos", "kind"),
    [
        (0, 0, None),
        (1, 1, None),
        (0, 1, "forbidden"),
        (0x80, 1, "forbidden"),
        (0x87, 0, "forbidden"),
        (0x8F, 0, "invalid"),
    ],
)
def test_an_answer_to_a_subscription(code, qos, kind):
    refusal = refusal_of_code(code, qos)
    assert (refusal.kind if refusal else None) == kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (0x85, CauseKind.INVALID),
        (0x86, CauseKind.AUTHENTICATION),
        (0x8B, CauseKind.ELSEWHERE),
        (0x8E, CauseKind.ELSEWHERE),
        (0x97, CauseKind.LIMIT),
        (4, None),
    ],
)
def test_an_answer_to_a_connection(code, kind):
    assert kind_of(aiomqtt.MqttCodeError(code)) is kind


async def test_paho_does_not_log_every_packet():
    """paho's log cost a fifth of a publish; a socket's error is logged as an error and is still seen."""
    connection = Connection(open_endpoint("mqtt://127.0.0.1:1")[1], ClientPlan("one", 5))
    logger = connection.client._client._logger
    assert not logger.isEnabledFor(logging.WARNING)
    logger.error("failed to receive on socket: %s", OSError("no route"))
    assert str(connection._heard) == "no route"
