"""The generator publishes by HTTP to real services that stream events, and an independent reader counts."""

import asyncio
import json
import os
import socket
import ssl
import subprocess
import threading
import urllib.request
from itertools import pairwise
from typing import NamedTuple

import pytest
import trustme

from brokers.programs.nchan import nchan
from brokers.programs.script_hub import sse_starlette
from core.contracts.codec import read
from core.contracts.generator_report import GeneratorReport
from core.errors import UsageError
from core.process import OWN_PYTHON
from generator.session import _producer
from generator.settings import GeneratorSettings
from tests.load.swarm import swarm
from tests.missing import missing
from tests.waiting import wait_until


def run_generator(folder, code=0, says="", **settings):
    """Run it to its end; return its report."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FANBENCH_")}
    path = folder / "report.json"
    done = subprocess.run(
        [*OWN_PYTHON, "-m", "generator"], env=clean | settings | {"FANBENCH_REPORT": str(path)}, timeout=100,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    report = read(GeneratorReport, path)
    assert report is not None
    return report


class Hub(NamedTuple):
    """A running service; its dialect has its name."""

    name: str
    url: str


class Reader:
    """Reads one topic's stream with urllib, line by line."""

    def __init__(self, url):
        self.events = []
        asked = urllib.request.Request(url, headers={"Accept": "text/event-stream"})  # nchan refuses others
        self._stream = urllib.request.urlopen(asked, timeout=60)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._stream:
            if line.startswith(b"data: "):
                self.events.append(json.loads(line[6:]))


@pytest.fixture(params=[nchan, sse_starlette], ids=lambda program: program.name)
def hub(request, integration, tmp_path):
    """A real service."""
    if request.param.find() is None:
        missing(f"{request.param.name} is not here: {request.param.install_hint}")
    with request.param.start(tmp_path) as running:
        yield Hub(request.param.name, f"http://{running.listeners['http']}")


def test_every_event_arrives_once_in_order_with_its_due_instant(hub, tmp_path):
    readers = {topic: Reader(f"{hub.url}/sse?topic={topic}") for topic in ("a", "b")}
    env = {
        "FANBENCH_PUBLISH": f"POST {hub.url}/publish?topic={{topic}}",
        "FANBENCH_TOPICS": "a,b",
        "FANBENCH_RATE_HZ": "1200",
    }
    report = run_generator(tmp_path, **env, FANBENCH_DURATION_S="2")
    assert (report.failed, report.failures) == (0, {})
    assert report.measured() == {"a": 1200, "b": 1200}
    for topic, reader in readers.items():
        wait_until(lambda reader=reader: len(reader.events) >= 1200, f"all events of {topic}", 60)
        assert [event["seq"] for event in reader.events] == list(range(1200))
        assert {(event["stream"], event["topic"]) for event in reader.events} == {(report.stream, topic)}
        due_ns = [event["due_ns"] for event in reader.events]
        assert {later - earlier for earlier, later in pairwise(due_ns)} <= {1_666_666, 1_666_667}


def test_refused_events_are_counted_by_reason(hub, tmp_path):
    env = {
        "FANBENCH_PUBLISH": f"POST {hub.url}/nothing/{{topic}}",
        "FANBENCH_RATE_HZ": "50",
        "FANBENCH_DURATION_S": "0.2",
    }
    report = run_generator(tmp_path, code=1, says="none of 10 events was accepted: 10 x status 40", **env)
    assert report.failed == 10
    assert report.failures in ({"status 404": 10}, {"status 405": 10})


def test_the_load_measures_the_service_from_the_due_instants(hub, tmp_path):
    options = ["--topic", "a,b", "--path", "/sse?topic={topic}", "--dialect", hub.name]
    with swarm(tmp_path, hub.url) as locusts:
        one = locusts.locust("-u", "6", "-r", "100", "-t", "60s", *options)
        locusts.wait_status("clients", 6)
        env = {
            "FANBENCH_PUBLISH": f"POST {hub.url}/publish?topic={{topic}}",
            "FANBENCH_TOPICS": "a,b",
            "FANBENCH_RATE_HZ": "100",
        }
        report = run_generator(tmp_path, **env, FANBENCH_DURATION_S="1")
        locusts.wait_status("deliveries", 300)
        one.end()
        one.wait()
        result = locusts.result()
    assert report.failures == {}
    assert (result["deliveries"], result["lost"], result["duplicated"], result["reordered"]) == (300, 0, 0, 0)
    assert "stamp" in result["streams"]["knows"]
    assert set(result["hops_ms"]) == {"schedule"}  # nobody reports where another hop ends
    assert result["latency_ms"]["p50"] >= result["since_sent_ms"]["p50"]


class SecureHub(threading.Thread):
    """Takes one connection over TLS, which needs a certificate of the client's, and answers each POST with 202."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        ca = trustme.CA()
        ca.cert_pem.write_to_path(folder / "ca.pem")
        ca.issue_cert("hub.test").private_key_and_cert_chain_pem.write_to_path(folder / "hub.pem")
        ca.issue_cert("me@hub.test").private_key_and_cert_chain_pem.write_to_path(folder / "me.pem")
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
        self._context.load_cert_chain(folder / "hub.pem")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.events = []
        self.start()

    def run(self):
        while True:
            try:
                with (
                    self._context.wrap_socket(self._listener.accept()[0], server_side=True) as sock,
                    sock.makefile("rb") as asked,
                ):
                    self._answer(sock, asked)
            except (ssl.SSLError, ConnectionError):
                continue
            except OSError:
                return

    def _answer(self, sock, asked):
        while line := asked.readline():
            assert line.startswith(b"POST /publish/events ")
            length = 0
            while (field := asked.readline()) != b"\r\n":
                name, _, value = field.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.events.append(json.loads(asked.read(length)))
            sock.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    def stop(self):
        self._listener.close()


@pytest.mark.usefixtures("integration")
def test_a_service_with_its_own_authority_that_wants_a_certificate_is_published_to(tmp_path):
    hub = SecureHub(tmp_path)
    env = {
        "FANBENCH_PUBLISH": f"POST https://127.0.0.1:{hub.port}/publish/{{topic}}",
        "FANBENCH_RATE_HZ": "100",
        "FANBENCH_DURATION_S": "0.2",
        "FANBENCH_CA_FILE": str(tmp_path / "ca.pem"),
        "FANBENCH_SNI": "hub.test",
        "FANBENCH_CLIENT_CERT": str(tmp_path / "me.pem"),
    }
    try:
        report = run_generator(tmp_path, **env)
        assert (report.failed, [event["seq"] for event in hub.events]) == (0, list(range(20)))
        said = "none of 20 events was accepted: "
        refused = run_generator(tmp_path, code=1, says=said, **env | {"FANBENCH_CA_FILE": ""})
        assert refused.failed == 20
    finally:
        hub.stop()


def test_bad_tls_files_are_refused_before_anything_is_published(tmp_path):
    settings = GeneratorSettings(publish="POST http://127.0.0.1:1/x", sni="hub.test")
    with pytest.raises(UsageError, match="need an https:// address; give one with FANBENCH_PUBLISH, or leave them out"):
        _producer(settings)
    nowhere = GeneratorSettings(publish="POST https://127.0.0.1:1/x", ca_file=tmp_path / "no.pem")
    with pytest.raises(UsageError, match=r"--ca-file '.*no.pem': No such file"):
        asyncio.run(_opened(nowhere))


async def _opened(settings):
    async with _producer(settings)[0]:
        pass
