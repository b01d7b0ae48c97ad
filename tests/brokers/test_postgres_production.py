"""PostgreSQL in production: a standby takes over, a statement times out, TLS is required, a payload is large."""

import asyncio
import shutil
import ssl
import subprocess
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import trustme

from brokers.api import Gap
from brokers.clean_up import new_run_name
from brokers.conformance.faults import polled, publish_until_taken
from brokers.conformance.workbench import Workbench, with_address
from brokers.contenders import find_contender
from brokers.errors import BrokerError, CauseKind
from brokers.postgres_link import dial
from brokers.programs import postgres as program
from brokers.programs.postgres_processes import PostgresProcesses
from brokers.programs.probe import postgres_answers
from brokers.programs.running import Running, launch
from brokers.registry import open_endpoint
from core.errors import UsageError
from core.ports import free_port
from core.process import spawn
from core.tcp_proxy import TcpProxy
from tests.missing import missing

CONTENDERS = ("postgres", "postgres-outbox")


@pytest.fixture(params=CONTENDERS)
def bench(request, running_programs):
    return running_programs.workbench(find_contender(request.param))


@pytest.fixture
def programs(integration):
    """The folder of PostgreSQL's programs."""
    found = program.postgres.find()
    if found is None:
        missing(f"postgres: {program.postgres.install_hint}")
    return found.parent


def server(programs, data, *options):
    """A server on a folder that already has a database; not started yet."""
    port = free_port()
    command = partial(program.server_command, programs / "postgres", data, [f"port={port}", "fsync=off", *options])
    return Running(
        name="postgres",
        listeners={"postgres": f"127.0.0.1:{port}"},
        data=data,
        spawn=lambda: PostgresProcesses(
            spawn("postgres", command(), data.parent / f"{data.name}.log", cwd=data), data / "db"
        ),
        ready=partial(postgres_answers, port),
    )


@contextmanager
def a_primary_and_its_standby(programs, folder):
    """Two servers; the standby replicates what the primary commits."""
    primary_data, standby_data = folder / "primary", folder / "standby"
    program.initialise(programs, primary_data)
    with launch(server(programs, primary_data)) as primary:
        standby_data.mkdir()
        shutil.copystat(primary_data, standby_data)
        shutil.chown(standby_data, primary_data.stat().st_uid)
        port = primary.listeners["postgres"].rpartition(":")[2]
        copy = [programs / "pg_basebackup", "-h", "127.0.0.1", "-p", port, "-U", "fanbench", "-R", "-c", "fast"]
        command = [*program.as_user(), *copy, "-D", standby_data / "db"]
        subprocess.run(command, cwd=standby_data, check=True, timeout=100)
        with launch(server(programs, standby_data)) as standby:
            yield primary, standby


async def asked(url, *statements):
    """A server's answer to the last of several statements."""
    session = await dial(open_endpoint(f"{url}?target_session_attrs=any")[1])
    try:
        for statement in statements:
            found = await session.fetch(statement)
        return found
    finally:
        await session.hang_up()


@pytest.mark.timeout(240)
async def test_a_standby_is_skipped_and_found_when_it_takes_over(programs, tmp_path):
    with a_primary_and_its_standby(programs, tmp_path) as (primary, standby):
        addresses = [one.listeners["postgres"] for one in (standby, primary)]
        synchronous = ("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        await asked(f"postgresql://fanbench@{addresses[1]}/postgres", *synchronous)
        for name in CONTENDERS:
            contender = find_contender(name)
            alone = contender.url.format(postgres=addresses[0])
            with pytest.raises(BrokerError, match="is a standby") as caught:
                async with Workbench(contender, alone, None, tmp_path).producer():
                    pass
            assert caught.value.kind is CauseKind.ELSEWHERE
        benches = [
            Workbench(
                find_contender(name), find_contender(name).url.format(postgres=",".join(addresses)), None, tmp_path
            )
            for name in CONTENDERS
        ]
        notify, outbox = benches
        async with (
            notify.producer() as told,
            notify.reader("t") as (_, hearer),
            outbox.producer() as kept,
            outbox.reader("t") as (_, reader),
        ):
            for i in range(20):
                await kept.publish("t", b"%d" % i)
                await told.publish("t", b"%d" % i)
            await reader.count(20)
            await hearer.count(20)
            primary.kill()
            await asked(f"postgresql://fanbench@{addresses[0]}/postgres", "SELECT pg_promote()")
            await publish_until_taken(kept, "t", b"after")
            await reader.until(lambda: b"after" in reader.payloads, "an event by the new primary")
            assert reader.payloads[:20] == [b"%d" % i for i in range(20)]
            await hearer.until(lambda: hearer.gaps, "a Gap of those who only listen")
            await publish_until_taken(told, "t", b"after")
            await hearer.until(lambda: b"after" in hearer.payloads, "a notification by the new primary")


async def test_a_statement_that_is_cut_short_is_transient_and_what_comes_later_arrives(bench):
    topic, endpoint = bench.topic(), bench.endpoint(run_name=new_run_name())
    async with bench.producer(endpoint) as producer, bench.reader(topic, endpoint=endpoint) as (_, reader):
        session = producer_session(producer)
        await session.execute("SET statement_timeout = '1ms'")
        cut = await until_cut(producer, topic)
        assert cut.kind is CauseKind.BLOCKED
        assert cut.transient
        await session.execute("SET statement_timeout = 0")
        await publish_until_taken(producer, topic, b"after")
        await reader.until(lambda: b"after" in reader.payloads, "what was published later")
        assert not reader.gaps
    if bench.adapter.replay:
        await bench.adapter.clean_up(endpoint)


def producer_session(producer):
    return (producer.sender if hasattr(producer, "sender") else producer._sender)._session


async def until_cut(producer, topic):
    """Publish until a publish takes the server longer than a millisecond."""
    async with asyncio.timeout(60):
        while True:
            for ended in await asyncio.gather(
                *[producer.publish(topic, b"%d" % n + bytes(2_000)) for n in range(900)], return_exceptions=True
            ):
                if isinstance(ended, BrokerError):
                    return ended


async def test_a_foreign_notification_is_a_message_and_an_invalid_one_is_counted(running_programs):
    bench = running_programs.workbench(find_contender("postgres"))
    topic = bench.topic()
    async with bench.reader(topic) as (consumer, reader):
        for text in ("from psql", "\x01:no base64!"):
            await asked(bench.url, f"SELECT pg_notify('{topic}', '{text}')")
        await reader.count(1)
        await polled(lambda: consumer.link.skipped, "the other is counted")
        assert reader.payloads == [b"from psql"]


async def test_equal_messages_that_are_published_at_once_all_arrive(running_programs):
    bench = running_programs.workbench(find_contender("postgres"))
    topic = bench.topic()
    async with bench.producer() as producer, bench.reader(topic) as (_, reader):
        for payload in (b"the same", b"x" * 7_999):
            await asyncio.gather(*[producer.publish(topic, payload) for _ in range(50)])
        await reader.count(100)
        assert reader.payloads == [b"the same"] * 50 + [b"x" * 7_999] * 50


async def test_a_database_that_does_not_exist_is_named(bench):
    with pytest.raises(BrokerError, match='database "nothing" does not exist; name one that exists'):
        async with bench.producer(bench.endpoint(bench.url.replace("/postgres", "/nothing"))):
            pass


@pytest.fixture
def authority(tmp_path):
    found = trustme.CA()
    found.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return found


async def round_trip(adapter, endpoint):
    async with adapter.producer(endpoint) as producer, adapter.consumer(endpoint) as consumer:
        await consumer.subscribe("over-tls")
        await producer.publish("over-tls", b"secret")
        async for item in consumer:
            if not isinstance(item, Gap):
                assert item.payload == b"secret"
                return


async def test_sslmode_decides_about_tls_and_a_wrong_certificate_is_reported(
    integration, programs, authority, tmp_path
):
    folders = [folder for folder in program._folders() if b"libssl" in (folder / "postgres").read_bytes()]
    if not folders:
        missing("no PostgreSQL with TLS is installed here: make brokers")
    data = tmp_path / "server"
    program.initialise(folders[0], data)
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(str(data / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(data / "cert.pem"))
    (data / "key.pem").chmod(0o600)
    shutil.chown(data / "key.pem", data.stat().st_uid)
    options = ("ssl=on", f"ssl_cert_file={data / 'cert.pem'}", f"ssl_key_file={data / 'key.pem'}")
    with launch(server(folders[0], data, *options)) as running:
        localhost = running.listeners["postgres"].replace("127.0.0.1", "localhost")
        for scheme in ("postgresql", "postgresql+outbox"):
            url = f"{scheme}://fanbench@{localhost}/postgres"
            for options in ("", "?sslmode=require", f"?ca_file={tmp_path / 'ca.pem'}"):
                await round_trip(*open_endpoint(url + options))
            for options, host, step in (
                ("?sslmode=verify-full", "localhost", "ca_file"),
                (f"?ca_file={tmp_path / 'ca.pem'}", "127.0.0.1", "server_name"),
            ):
                adapter, endpoint = open_endpoint(url.replace("localhost", host) + options)
                with pytest.raises(BrokerError, match=step):
                    await round_trip(adapter, endpoint)


async def test_tls_from_the_first_byte(bench, authority, tmp_path):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["postgresql"])
    authority.issue_cert("localhost").configure_cert(context)
    with TcpProxy(str(bench.address), tls=context) as proxy:
        address = proxy.address.replace("127.0.0.1", "localhost")
        url = f"{with_address(bench.url, address)}?sslnegotiation=direct&ca_file={tmp_path / 'ca.pem'}"
        await round_trip(*open_endpoint(url))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("sslmode=disable&ca_file=/x.pem", "'ca_file' has no meaning with sslmode=disable"),
        ("sslmode=prefer&sslnegotiation=direct", "'sslnegotiation' has no meaning with sslmode=prefer"),
        ("sslmode=full", "did you mean 'verify-full'"),
    ],
)
async def test_impossible_tls_options_are_refused(options, says):
    async def connect():
        adapter, endpoint = open_endpoint(f"postgresql://127.0.0.1:1/x?{options}")
        async with adapter.producer(endpoint):
            pass

    with pytest.raises(UsageError, match=says):
        await connect()


def test_the_programs_are_in_one_folder(programs):
    assert all((Path(programs) / name).is_file() for name in ("postgres", "initdb", "pgbench", "psql", "pg_isready"))
