"""NATS in production: permissions, logins, foreign streams, and streams that come back with older data."""

import asyncio
import base64
import hashlib
import json
import shutil
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import nats
import nkeys
import pytest
import trustme

from brokers.conformance.workbench import reading
from brokers.errors import BrokerError, CauseKind, TopicRefusedError
from brokers.nats_errors import Error
from brokers.nats_link import NatsConnection
from brokers.nats_requests import IN_FLIGHT
from brokers.programs.catalogue import PROGRAMS
from brokers.programs.probe import answers
from brokers.programs.running import Running, launch
from brokers.registry import open_endpoint
from core.errors import UsageError
from core.ports import free_port
from core.process import spawn

pytestmark = pytest.mark.usefixtures("integration")
INBOX = "_INBOX.>"


@contextmanager
def server(folder, **settings):
    """A nats-server with these settings; yields host:port and the process."""
    port, folder = free_port(), folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nats.conf"
    config.write_text(json.dumps({"host": "127.0.0.1", "port": port, "server_name": "fanbench", **settings}))
    command = [PROGRAMS["nats"].require(), "-c", config]
    running = Running(
        name="nats",
        listeners={},
        data=folder / "data",
        spawn=lambda: spawn("nats", command, folder / "nats.log"),
        ready=lambda: answers(port, [(b"", b"INFO ")]),
    )
    with launch(running):
        yield f"127.0.0.1:{port}", running


def jetstream(folder, **more):
    return {"jetstream": {"store_dir": str(folder.resolve() / "data"), **more}}


@asynccontextmanager
async def both(url):
    adapter, endpoint = open_endpoint(url)
    async with (
        adapter.consumer(endpoint) as consumer,
        adapter.producer(endpoint) as producer,
        reading(consumer) as reader,
    ):
        yield producer, consumer, reader


async def round_trip(url):
    async with both(url) as (producer, consumer, reader):
        assert not await consumer.subscribe("t")
        await producer.publish("t", b"hello")
        await reader.count(1)


async def connect_error(url, side="producer"):
    adapter, endpoint = open_endpoint(url)
    with pytest.raises(BrokerError) as caught:
        async with getattr(adapter, side)(endpoint):
            pass
    return caught.value


def account_of(**permissions):
    return {"users": [{"user": "me", "password": "pw", "permissions": permissions}], "jetstream": True}


ADMIN = {"user": "admin", "password": "pw"}
READER = [
    "$JS.API.STREAM.INFO.fanbench",
    "$JS.API.CONSUMER.CREATE.fanbench.>",
    "$JS.API.CONSUMER.INFO.fanbench.>",
    "$JS.ACK.>",
]


async def test_a_user_without_admin_rights_uses_the_existing_stream(tmp_path):
    account = account_of(publish=["fanbench.ours.>", *READER], subscribe=[INBOX])
    account["users"].append(ADMIN)
    with server(tmp_path, **jetstream(tmp_path), accounts={"A": account}) as (address, _):
        error = await connect_error(f"nats+js://me:pw@{address}")
        assert error.kind is CauseKind.PERMISSION
        assert 'Permissions Violation for Publish to "$JS.API.STREAM.CREATE.fanbench"' in str(error)
        await round_trip(f"nats+js://admin:pw@{address}")
        async with both(f"nats+js://me:pw@{address}") as (producer, consumer, reader):
            assert not await consumer.subscribe("ours.t")
            with pytest.raises(TopicRefusedError, match="Permissions Violation") as caught:
                await producer.publish("theirs", b"no")
            assert caught.value.refusal.kind == "forbidden"
            await producer.publish("ours.t", b"yes")
            await reader.count(1)
            assert producer.link.connected


async def test_a_user_who_may_not_acknowledge_gets_an_error(tmp_path):
    """The server would send one window and wait: the replica would be connected but receive nothing more."""
    rights = ["fanbench.>", "$JS.API.>"]
    with server(tmp_path, **jetstream(tmp_path), accounts={"A": account_of(publish=rights, subscribe=[INBOX])}) as (
        address,
        _,
    ):
        error = await connect_error(f"nats+js://me:pw@{address}", "consumer")
        assert error.kind is CauseKind.PERMISSION
        assert 'Permissions Violation for Publish to "$JS.ACK.fanbench.' in str(error)


async def test_jetstreams_reason_is_passed_on_with_a_fitting_step(tmp_path):
    account = {"users": [ADMIN], "jetstream": {"max_store": 10**8, "max_streams": 1, "max_bytes_required": True}}
    with server(tmp_path, **jetstream(tmp_path), accounts={"A": account}) as (address, _):
        url = f"nats+js://admin:pw@{address}"
        error = await connect_error(url)
        assert error.kind is CauseKind.LIMIT
        assert "?max_bytes=" in str(error)
        assert "max bytes" in error.cause
        await round_trip(f"{url}?max_bytes=1000000")
        error = await connect_error(f"{url}?max_bytes=1000000&stream=other")
        assert error.kind is CauseKind.LIMIT
        assert "maximum number of streams reached" in error.cause
        assert (await connect_error(f"{url}?stream=other&create=false")).kind is CauseKind.NOT_FOUND


async def test_foreign_streams_are_distinguished(tmp_path):
    with server(tmp_path, **jetstream(tmp_path)) as (address, _):
        client = await nats.connect(f"nats://{address}")
        await client.jetstream().add_stream(name="orders", subjects=["sales.>"])
        url = f"nats+js://{address}"
        error = await connect_error(f"{url}?stream=orders")
        assert error.kind is CauseKind.CONFLICT
        assert "sales.>" in error.cause
        assert "?subject=" in str(error)
        error = await connect_error(f"{url}?stream=mine&subject=sales")
        assert error.kind is CauseKind.CONFLICT
        assert "overlap" in error.cause
        error = await connect_error(f"{url}?stream=three&replicas=3")
        assert error.kind is CauseKind.LIMIT
        assert "replicas" in error.cause
        await round_trip(f"{url}?stream=orders&subject=sales&create=false")
        await client.jetstream().add_stream(name="narrow", subjects=["narrow.one"])
        async with both(f"{url}?stream=narrow") as (producer, consumer, reader):
            await consumer.subscribe("one", "two")
            with pytest.raises(TopicRefusedError, match=r"takes narrow\.one"):
                await producer.publish("two", b"")
            await producer.publish("one", b"")
            await reader.count(1)
        await client.close()


async def test_publishes_that_are_never_acknowledged_end_with_an_error_each(tmp_path):
    """More than may be in flight: the later ones are sent when the earlier ones have ended."""
    count = IN_FLIGHT * 2 + 1
    with server(tmp_path, **jetstream(tmp_path)) as (address, _):
        client = await nats.connect(f"nats://{address}")
        await client.jetstream().add_stream(name="mute", subjects=["mute.>"], no_ack=True)
        adapter, endpoint = open_endpoint(f"nats+js://{address}?stream=mute")
        errors, ended = [], asyncio.Event()

        def done(error):
            errors.append(error)
            if len(errors) == count:
                ended.set()

        async with adapter.producer(replace(endpoint, timeout_s=0.5)) as producer:
            for number in range(count):
                producer.begin("t", b"%d" % number, done)
            producer.flush()
            async with asyncio.timeout(20):
                await ended.wait()
            assert {(error.kind, error.cause) for error in errors} == {(CauseKind.SILENT, "no answer")}
            with pytest.raises(BrokerError, match="no answer"):
                await producer.publish("t", b"alone")
            assert producer.link.connected
        assert (await client.jetstream().stream_info("mute")).state.messages > IN_FLIGHT
        await client.close()


async def test_jetstream_that_is_not_enabled_is_named(tmp_path):
    with server(tmp_path) as (address, _):
        error = await connect_error(f"nats+js://{address}")
        assert "JetStream" in str(error)


async def test_a_stream_in_memory_is_created_as_asked(tmp_path):
    with server(tmp_path, **jetstream(tmp_path), server_tags=["ssd"]) as (address, _):
        await round_trip(f"nats+js://{address}?storage=memory&length=7&max_bytes=5000&stream=s")
        client = await nats.connect(f"nats://{address}")
        config = (await client.jetstream().stream_info("s")).config
        assert (config.storage, config.max_msgs, config.max_bytes) == ("memory", 7, 5000)
        await client.close()


async def test_tokens(tmp_path):
    with server(tmp_path, authorization={"token": "s3cret-token"}) as (address, _):
        file = tmp_path / "token"
        file.write_text("s3cret-token\n")
        await round_trip(f"nats://s3cret-token@{address}")
        await round_trip(f"nats://{address}?token_file={file}")
        error = await connect_error(f"nats://wr0ng-token@{address}")
        assert error.kind is CauseKind.AUTHENTICATION
        assert "wr0ng-token" not in str(error)
        adapter, endpoint = open_endpoint(f"nats://s3cret-token@{address}?token_file={file}")
        with pytest.raises(UsageError, match="leave out all but one"):
            async with adapter.producer(endpoint):
                pass


@pytest.mark.parametrize("option", ["token_file", "creds_file", "nkey_file"])
async def test_an_invalid_login_file_is_named(option, tmp_path):
    adapter, endpoint = open_endpoint(f"nats://127.0.0.1:1?{option}={tmp_path}/none")
    with pytest.raises(UsageError, match=f"{option}=.*No such file"):
        async with adapter.producer(endpoint):
            pass


def new_key(prefix):
    """A key pair of the type that the prefix names: its seed and its public key as text."""
    seed = nkeys.encode_seed(hashlib.sha256(str(time.time_ns()).encode()).digest(), prefix)
    pair = nkeys.from_seed(bytearray(seed))
    return pair, bytes(seed).decode(), pair.public_key.decode()


async def test_nkeys(tmp_path):
    _, seed, public = new_key(nkeys.PREFIX_BYTE_USER)
    file = tmp_path / "user.nk"
    file.write_text(seed + "\n")
    with server(tmp_path, authorization={"users": [{"nkey": public}]}) as (address, _):
        await round_trip(f"nats://{address}?nkey_file={file}")
        file.write_text(new_key(nkeys.PREFIX_BYTE_USER)[1])
        assert (await connect_error(f"nats://{address}?nkey_file={file}")).kind is CauseKind.AUTHENTICATION


def _word(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(issuer, issuer_public, subject, claims):
    """A NATS JWT in the format of nats-io/jwt, version 2."""
    body = {"iat": 1700000000, "iss": issuer_public, "sub": subject, "name": "test", "nats": {"version": 2, **claims}}
    body["jti"] = base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).rstrip(b"=").decode()
    head = {"typ": "JWT", "alg": "ed25519-nkey"}
    text = f"{_word(json.dumps(head).encode())}.{_word(json.dumps(body).encode())}"
    return f"{text}.{_word(issuer.sign(text.encode()))}"


async def test_credentials_files(tmp_path):
    operator, _, operator_public = new_key(nkeys.PREFIX_BYTE_OPERATOR)
    account, _, account_public = new_key(nkeys.PREFIX_BYTE_ACCOUNT)
    _, seed, user_public = new_key(nkeys.PREFIX_BYTE_USER)
    limits = dict.fromkeys(("subs", "data", "payload", "conn", "leaf", "imports", "exports"), -1) | {"wildcards": True}
    account_jwt = signed(operator, operator_public, account_public, {"type": "account", "limits": limits})
    user_limits = {"subs": -1, "data": -1, "payload": -1}
    user_jwt = signed(account, account_public, user_public, {"type": "user", **user_limits})
    file = tmp_path / "user.creds"
    file.write_text(
        f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
    settings = {
        "operator": signed(operator, operator_public, operator_public, {"type": "operator"}),
        "resolver": "MEMORY",
        "resolver_preload": {account_public: account_jwt},
    }
    with server(tmp_path, **settings) as (address, _):
        await round_trip(f"nats://{address}?creds_file={file}")
        assert (await connect_error(f"nats://{address}")).kind is CauseKind.AUTHENTICATION


async def test_inbox_prefix_where_a_user_has_no_other(tmp_path):
    account = account_of(publish=["fanbench.>", "$JS.>"], subscribe=["mine.>"])
    with server(tmp_path, **jetstream(tmp_path), accounts={"A": account}) as (address, _):
        error = await connect_error(f"nats+js://me:pw@{address}")
        assert error.kind is CauseKind.PERMISSION
        assert "Permissions Violation for Subscription" in error.cause
        await round_trip(f"nats+js://me:pw@{address}?inbox_prefix=mine.inbox")


async def test_domains(tmp_path):
    with server(tmp_path, **jetstream(tmp_path, domain="hub")) as (address, _):
        await round_trip(f"nats+js://{address}?domain=hub")
        assert "JetStream" in str(await connect_error(f"nats+js://{address}?domain=elsewhere"))


async def test_websockets(tmp_path):
    web = free_port()
    listener = {"host": "127.0.0.1", "port": web, "no_tls": True}
    with server(tmp_path, **jetstream(tmp_path), websocket=listener):
        await round_trip(f"nats+ws://127.0.0.1:{web}")
        await round_trip(f"nats+js+ws://127.0.0.1:{web}")


async def test_certificates_of_clients_and_secure_websockets(tmp_path):
    authority = trustme.CA()
    ca_file, files = tmp_path / "ca.pem", []
    authority.cert_pem.write_to_path(str(ca_file))
    for name in ("localhost", "client@example.org"):
        certificate = authority.issue_cert(name)
        stem = name.partition("@")[0]
        files.append((tmp_path / f"{stem}.pem", tmp_path / f"{stem}.key"))
        certificate.cert_chain_pems[0].write_to_path(str(files[-1][0]))
        certificate.private_key_pem.write_to_path(str(files[-1][1]))
    (cert, key), (own, own_key) = files
    tls = {"cert_file": str(cert), "key_file": str(key), "ca_file": str(ca_file), "verify": True}
    web = free_port()
    trusting = f"?ca_file={ca_file}"
    knowing = f"{trusting}&cert_file={own}&key_file={own_key}"
    with server(tmp_path, tls=tls, websocket={"host": "127.0.0.1", "port": web, "tls": tls}) as (address, _):
        port = address.rpartition(":")[2]
        await round_trip(f"nats+tls://localhost:{port}{knowing}")
        await round_trip(f"nats+tls://{address}{knowing}&server_name=localhost")
        await round_trip(f"nats+wss://localhost:{web}{knowing}")
        error = await connect_error(f"nats+tls://localhost:{port}{trusting}")
        assert error.kind is CauseKind.TLS_CLIENT


async def test_a_stream_that_comes_back_older_sends_no_old_message_as_live(tmp_path):
    """The server lost its last entries, and reuses their numbers."""
    with server(tmp_path, **jetstream(tmp_path)) as (address, running):
        store, copy = tmp_path / "data", tmp_path / "copy"
        async with both(f"nats+js://{address}") as (producer, consumer, reader):
            await consumer.subscribe("t")
            for n in range(50):
                await producer.publish("t", b"old %d" % n)
            await reader.count(50)
            running.halt()
            shutil.copytree(store, copy)
            running.start_again()
            await _published(producer, range(50, 60))
            await reader.count(60)
            running.halt()
            shutil.rmtree(store)
            shutil.move(copy, store)
            running.start_again()
            client = await nats.connect(f"nats://{address}")
            before = len(reader.messages)
            await _published(producer, range(100, 120))
            await reader.until(lambda: b"old 119" in reader.payloads, "what is new")
            assert [*reader.payloads[before:]] == [b"old %d" % n for n in range(100, 120)]
            assert None in [gap.lost for gap in reader.gaps]
            await client.close()


async def _published(producer, numbers):
    async with asyncio.timeout(20):
        for n in numbers:
            while True:
                try:
                    await producer.publish("t", b"old %d" % n)
                    break
                except BrokerError:
                    await asyncio.sleep(0.05)


async def test_a_refused_subject_keeps_its_capital_letters(tmp_path):
    rights = {"publish": {"deny": ["Theirs"]}, "subscribe": {"deny": ["Theirs"]}}
    with server(tmp_path, authorization={"users": [ADMIN | {"permissions": rights}]}) as (address, _):
        async with both(f"nats://admin:pw@{address}") as (producer, consumer, reader):
            assert [*await consumer.subscribe("Theirs", "theirs")] == ["Theirs"]
            await producer.publish("theirs", b"")
            await reader.count(1)


@pytest.mark.parametrize("scheme", ["nats", "nats+js"])
async def test_undecodable_messages_stop_nobody(scheme, tmp_path):
    with server(tmp_path, **jetstream(tmp_path)) as (address, _):
        async with both(f"{scheme}://{address}") as (producer, consumer, reader):
            await consumer.subscribe("t")
            host, port = address.split(":")
            stream, writer = await asyncio.open_connection(host, int(port))
            prefix = b"fanbench." if scheme == "nats+js" else b""
            header = b"NATS/1.0\r\nkey: \xff\xfe\r\n\r\n"
            odd = b"NATS/1.0 \xff\xff\r\n\r\n"
            writer.write(b'CONNECT {"verbose":false,"headers":true}\r\n')
            writer.write(b"PUB " + prefix + b"\xff\xfe 1\r\nx\r\n")
            for head in (header, odd):
                writer.write(b"HPUB %st %d %d\r\n%sx\r\n" % (prefix, len(head), len(head) + 1, head))
            writer.write(b"PING\r\n")
            async with asyncio.timeout(10):
                while b"PONG" not in await stream.readline():
                    pass
            await producer.publish("t", b"after")
            await reader.until(lambda: b"after" in reader.payloads, "what came after it")
            assert not reader.gaps
            assert consumer.link.connected
            # NATS core sends a consumer only messages with a subject that it subscribed to.
            assert consumer.link.skipped == ({"a subject that is not UTF-8": 1} if scheme == "nats+js" else {})
            writer.close()


@pytest.mark.parametrize("task", ["_ping_interval_task", "_reading_task", "_flusher_task"])
async def test_a_connection_whose_tasks_have_ended_is_dialled_again(task, tmp_path):
    """nats-py's ping ends with the socket's ConnectionResetError, and nobody is notified."""
    with server(tmp_path) as (address, _):
        async with both(f"nats://{address}") as (producer, consumer, reader):
            await consumer.subscribe("t")
            getattr(consumer.line.connection.client, task).cancel()
            await reader.until(lambda: reader.gaps, "a Gap")
            await _published(producer, [7])
            await reader.until(lambda: b"old 7" in reader.payloads, "a message after it")


async def test_refusals_are_remembered_within_bounds():
    link = NatsConnection()
    for n in range(10_000):
        await link.on_error(Error(f'nats: permissions violation for publish to "s{n}"'))
    assert len(link.refused) < 5_000
    assert "s9999" in link.refused
