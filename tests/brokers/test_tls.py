"""TLS by scheme, with a CA file: a good certificate connects, any other is refused with the next step."""

import json
import ssl
from contextlib import ExitStack
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
import trustme

from brokers import conformance
from brokers.contenders import find_contender
from brokers.errors import BrokerError
from brokers.programs.catalogue import PROGRAMS
from brokers.programs.probe import answers
from brokers.programs.running import Running, launch
from brokers.registry import open_endpoint
from core.errors import UsageError
from core.ports import free_port
from core.process import spawn
from core.tcp_proxy import TcpProxy

SCHEMES = {
    "valkey": "rediss",
    "valkey-streams": "rediss+streams",
    "mosquitto-qos1": "mqtts",
    "rabbitmq-confirms": "amqps",
    "rabbitmq-stream": "amqps+stream",
}


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def tls_before(authority, running_programs):
    """A function that returns a contender's address behind TLS, with a certificate for a host name."""
    with ExitStack() as stack:

        def start(name, host, asked_of=None, **validity):
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            if asked_of is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                asked_of.configure_trust(context)
            authority.issue_cert(host, **validity).configure_cert(context)
            workbench = running_programs.workbench(find_contender(name))
            parts = urlsplit(workbench.url)
            proxy = stack.enter_context(TcpProxy(f"{parts.hostname}:{parts.port}", tls=context))
            return proxy.address.replace("127.0.0.1", "localhost")

        yield start


async def round_trip(url, delivery):
    adapter, endpoint = open_endpoint(url, delivery)
    async with adapter.producer(endpoint) as producer, adapter.consumer(endpoint) as consumer:
        await consumer.subscribe("over-tls")
        await producer.publish("over-tls", b"secret")
        assert (await anext(aiter(consumer))).payload == b"secret"


async def refused(url, delivery, step="ca_file"):
    adapter, endpoint = open_endpoint(url, delivery)
    for side in (adapter.producer, adapter.consumer):
        with pytest.raises(BrokerError, match="certificate") as caught:
            async with side(endpoint):
                pass
        assert step in str(caught.value).rpartition(";")[2]
        assert not caught.value.transient


@pytest.mark.parametrize("name", SCHEMES)
async def test_a_certificate_of_the_given_authority_connects(name, tls_before, ca_file):
    address = tls_before(name, "localhost")
    await round_trip(f"{SCHEMES[name]}://{address}?ca_file={ca_file}", find_contender(name).delivery)


@pytest.mark.parametrize("name", SCHEMES)
async def test_a_name_in_the_certificate_may_be_given(name, tls_before, ca_file):
    url = f"{SCHEMES[name]}://{tls_before(name, 'other.example')}?ca_file={ca_file}"
    await round_trip(f"{url}&server_name=other.example", find_contender(name).delivery)


@pytest.fixture
def own_certificate(authority, tmp_path):
    """Options that name a client certificate."""
    certificate = authority.issue_cert("client@example.org")
    certificate.private_key_pem.write_to_path(str(tmp_path / "client.key"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "client.pem"))
    return f"&cert_file={tmp_path / 'client.pem'}&key_file={tmp_path / 'client.key'}"


@pytest.mark.parametrize("name", SCHEMES)
async def test_a_broker_that_asks_for_a_certificate_gets_one(name, tls_before, authority, ca_file, own_certificate):
    address = tls_before(name, "localhost", authority)
    await round_trip(f"{SCHEMES[name]}://{address}?ca_file={ca_file}{own_certificate}", find_contender(name).delivery)


@pytest.mark.parametrize(
    ("options", "says"),
    [("key_file=/none.pem", "without cert_file"), ("cert_file=/none.pem", "cert_file=/none.pem: No such file")],
)
async def test_a_certificate_that_cannot_be_used_is_named(options, says):
    adapter, endpoint = open_endpoint(f"mqtts://127.0.0.1:1?{options}")
    with pytest.raises(UsageError, match=says):
        async with adapter.producer(endpoint):
            pass


@pytest.mark.parametrize("name", SCHEMES)
async def test_an_unknown_authority_is_refused(name, tls_before):
    address = tls_before(name, "localhost")
    await refused(f"{SCHEMES[name]}://{address}", find_contender(name).delivery)


@pytest.mark.parametrize("name", ["valkey", "mosquitto-qos1", "rabbitmq-confirms"])
async def test_a_certificate_for_another_host_is_refused(name, tls_before, ca_file):
    address = tls_before(name, "other.example")
    await refused(f"{SCHEMES[name]}://{address}?ca_file={ca_file}", find_contender(name).delivery, "server_name")


@pytest.mark.parametrize("name", ["valkey", "mosquitto-qos1", "rabbitmq-confirms"])
async def test_an_expired_certificate_is_refused(name, tls_before, ca_file):
    address = tls_before(name, "localhost", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    await refused(f"{SCHEMES[name]}://{address}?ca_file={ca_file}", find_contender(name).delivery, "renew")


@pytest.mark.parametrize("name", ["valkey", "mosquitto-qos1", "rabbitmq-confirms"])
async def test_a_certificate_that_the_broker_does_not_trust_is_reported_as_such(
    name, tls_before, ca_file, own_certificate
):
    """The broker closes right behind its alert, which then may never be read: the next step is the same."""
    url = f"{SCHEMES[name]}://{tls_before(name, 'localhost', trustme.CA())}?ca_file={ca_file}{own_certificate}"
    adapter, endpoint = open_endpoint(url, find_contender(name).delivery)
    for side in (adapter.producer, adapter.consumer):
        with pytest.raises(BrokerError) as caught:
            async with side(endpoint):
                pass
        assert "cert_file" in str(caught.value).rpartition(";")[2]


@pytest.mark.parametrize("scheme", [*SCHEMES.values(), "nats+tls", "nats+js+tls"])
async def test_a_ca_file_with_other_content_is_named(scheme, tmp_path):
    empty = tmp_path / "empty.pem"
    empty.touch()
    for path in (tmp_path / "none.pem", empty):
        adapter, endpoint = open_endpoint(f"{scheme}://127.0.0.1:1?ca_file={path}")
        with pytest.raises(UsageError, match=path.name):
            async with adapter.producer(endpoint):
                pass


@pytest.fixture
def nats_with_tls(integration, authority, tmp_path):
    """A nats-server that requires TLS: NATS begins in plain text, so a proxy cannot add it."""
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    port = free_port()
    tls = {"cert_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}
    settings = {"host": "127.0.0.1", "port": port, "tls": tls, "jetstream": {"store_dir": str(tmp_path / "data")}}
    config = tmp_path / "nats.conf"
    config.write_text(json.dumps(settings))
    command = [PROGRAMS["nats"].find(), "-c", config]
    running = Running(
        name="nats",
        listeners={},
        data=tmp_path / "data",
        spawn=lambda: spawn("nats", command, tmp_path / "log"),
        ready=lambda: answers(port, [(b"", b"INFO ")]),
    )
    with launch(running):
        yield f"localhost:{port}"


@pytest.mark.parametrize(("scheme", "delivery"), [("nats+tls", "at-most-once"), ("nats+js+tls", "at-least-once")])
async def test_nats(scheme, delivery, nats_with_tls, ca_file):
    await round_trip(f"{scheme}://{nats_with_tls}?ca_file={ca_file}", delivery)
    await refused(f"{scheme}://{nats_with_tls}", delivery)


async def test_nats_without_tls_is_refused_where_tls_is_asked_for(running_programs, ca_file):
    workbench = running_programs.workbench(find_contender("nats"))
    adapter, endpoint = open_endpoint(workbench.url.replace("nats://", "nats+tls://") + f"?ca_file={ca_file}")
    with pytest.raises(BrokerError, match="does not ask for TLS"):
        async with adapter.producer(endpoint):
            pass


def test_the_kit_says_why_it_cuts_no_link_of_a_certificate_for_a_host_name(tls_before, ca_file, monkeypatch):
    chosen = ("test_bytes_unchanged", "test_link_cut")
    every = conformance.promises
    few = lambda features: [(name, missing) for name, missing in every(features) if name in chosen]  # noqa: E731
    monkeypatch.setattr(conformance, "promises", few)
    outcomes = []
    url = f"rediss://{tls_before('valkey', 'localhost')}?ca_file={ca_file}"
    assert conformance.run_conformance(url, outcomes.append)
    assert [outcome.status for outcome in outcomes] == ["kept", "not applicable"]
    assert "needs link; through a proxy" in outcomes[1].detail
    assert "certificate" in outcomes[1].detail
