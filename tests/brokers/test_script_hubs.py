"""The services of examples/hubs as programs: each dialect reads what its service really sends, and clients agree on the ids."""

import threading
import time
import urllib.request
from contextlib import contextmanager
from http.client import HTTPException
from urllib.parse import quote

import pytest

from brokers.endpoint_contenders import endpoint_contender
from brokers.programs.catalogue import SERVICES
from brokers.programs.libraries import Executable, NodeLibrary, PythonLibrary
from brokers.programs.script_hub import ScriptHub
from core.endpoint.compared import Service
from core.endpoint.dialect import load_dialect
from core.endpoint.publish_request import PublishEncoder, parse_publish
from core.endpoint.reading import EventReader
from core.errors import FanbenchError
from core.resources import resource_folder
from core.sse import SSEParser
from core.stamp import Stamp, encode
from harness.runner.set_up_endpoint import prepare_topics
from tests.waiting import wait_until

EVENTS = 20
TOPIC = "a b/ä"
KNOWN = {
    "nchan": "id",
    "sse-starlette": "id",
    "fastapi": "id",
    "better-sse": "id",
    "durable-streams": "",
    "pushpin": "",
}
"""How each dialect uses the ids of its service, in addition to fanbench's stamp."""
TOLD_S = 60


class StreamHeard:
    """One client's stream, read to its end in a thread."""

    def __init__(self, url):
        self.events = []
        self._parser = SSEParser()
        asked = urllib.request.Request(url, headers={"Accept": "text/event-stream"})
        self._stream = urllib.request.urlopen(asked, timeout=TOLD_S)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            while data := self._stream.read1(65_536):
                self.events += self._parser.feed(data)
        except (OSError, ValueError, AttributeError, HTTPException):
            pass  # the service has ended


@contextmanager
def service(name, folder):
    """A real service that runs, and its endpoint; skipped if it is not installed."""
    program = SERVICES[name]
    if program.find() is None:
        pytest.skip(f"{name} is not installed here: {program.install_hint}")
    with program.start(folder) as running:
        yield endpoint_contender(name).endpoint, Service(f"http://{running.listeners['http']}", running.listeners)


def publish(endpoint, at, events):
    """Send them one by one, as the generator would."""
    origin, request = parse_publish(
        endpoint.request_at(endpoint.publish, at), endpoint.publish_headers, endpoint.publish_body
    )
    encoder = PublishEncoder(origin, request)
    for event in events:
        head, _, body = encoder.encode(TOPIC, event).partition(b"\r\n\r\n")
        line, *fields = head.decode().split("\r\n")
        method, target, _ = line.split(" ")
        headers = dict(field.split(": ", 1) for field in fields)
        asked = urllib.request.Request(f"{origin.url}{target}", data=body, headers=headers, method=method)
        assert urllib.request.urlopen(asked, timeout=TOLD_S).status in (200, 201, 202, 204)


def readings_of(heard, reader):
    return [reading for event in heard for reading in reader.read(event, TOPIC)]


def stamped(number, stream, now_ns=1):
    return encode(Stamp(stream, number, TOPIC, "measure", now_ns, now_ns), "pad")


@pytest.mark.usefixtures("integration")
@pytest.mark.parametrize("name", sorted(KNOWN))
def test_the_dialect_reads_what_the_service_sends_to_each_client(name, tmp_path):
    reader = EventReader(load_dialect(name, resource_folder("dialects")))
    now_ns = time.time_ns()
    with service(name, tmp_path) as (endpoint, at):
        prepare_topics(endpoint, [TOPIC], at)
        path = endpoint.path.replace("{topic}", quote(TOPIC, safe=""))
        clients = [StreamHeard(f"{at.url}{path}") for _ in range(2)]

        def all_listen():
            publish(endpoint, at, [stamped(0, "probe")])
            return all("probe" in str(client.events) for client in clients)

        wait_until(all_listen, f"both clients of {name} to hear a probe", TOLD_S)
        publish(endpoint, at, [stamped(number, "k3f9", now_ns) for number in range(EVENTS)])
        publish(endpoint, at, [b'{"text":"no stamp"}'])
        wait_until(lambda: all("no stamp" in str(client.events) for client in clients), "the last event", TOLD_S)
        heard = [list(client.events) for client in clients]
    # A comparison uses only fanbench's stamp.
    for events in heard:
        by_stamp = [
            one.stamp for one in readings_of([e for e in events if "k3f9" in e.data], EventReader(endpoint.dialect))
        ]
        assert [stamp.seq for stamp in by_stamp] == list(range(EVENTS))
        assert {stamp.topic for stamp in by_stamp} == {TOPIC}
        # JavaScript rounds whole numbers over 2^53; better-sse, which passes on the text, does not.
        assert all(abs(stamp.due_ns - now_ns) <= (256 if name == "durable-streams" else 0) for stamp in by_stamp)
    # The service's own data, which is all that there is if others publish.
    last = [readings_of(events, reader)[-1] for events in heard]
    assert [one.stamp for one in last] == [None, None]
    assert [bool(one.key) for one in last] == [KNOWN[name] == "id"] * 2
    if KNOWN[name] == "id":
        assert last[0].key == last[1].key
        ids = [event.id for event in heard[0]]
        assert len(set(ids)) == len(ids)


def test_a_hubs_missing_requirements_are_named(tmp_path):
    assert PythonLibrary("starlette", "starlette.responses").version()
    for need in (
        PythonLibrary("no-such-package", "no_such_package.part"),
        PythonLibrary("starlette", "starlette.no_such_part"),
        NodeLibrary("no-such-package"),
        Executable("no-such-program"),
    ):
        hub = ScriptHub("a hub", "fastapi_hub.py", need, "get it")
        assert (need.version(), hub.version(), hub.find()) == ("", "", None)
        with pytest.raises(FanbenchError, match="a hub is not installed here; get it"):
            hub.start(tmp_path)


def test_each_service_is_an_endpoint_and_each_endpoint_of_ours_a_service():
    assert sorted(KNOWN) == sorted(SERVICES)
    for name in SERVICES:
        assert endpoint_contender(name).program == name
