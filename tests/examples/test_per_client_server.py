"""examples/per-client-server: the load can read its streams, and a run measures it like one of our replicas."""

import asyncio
import csv
import importlib
import json
import sys
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest

from brokers.contenders import find_contender
from core.contracts.codec import decode
from core.contracts.measures import PhaseCounts
from core.contracts.replica_stats import ReplicaStats
from core.sse import SSEParser
from core.stamp import Phase, Stamp, encode, encode_compact
from load.frames import Event, SeriesRegistry, Source
from tests.harness.command import fanbench
from tests.missing import missing

FOLDER = Path(__file__).parents[2] / "examples" / "per-client-server"
SERVER = 'replica "7"'
DUE_NS = 1_700_000_000_000_000_000
SMALL = ("-s", "smoke", "--clients", 30, "--duration", 1, "--repeats", 0)


def published(seq: int, phase: Phase = "measure", form: str = "readable") -> str:
    stamp = Stamp("k3f9", seq, "events", phase, DUE_NS, DUE_NS + 2_000)
    return encode_compact(stamp, b"a token").decode() if form == "compact" else encode(stamp, "pad").decode()


@pytest.fixture
def example(monkeypatch):
    """Imports a module of the example, as when its server starts."""
    monkeypatch.setenv("FANBENCH_SERVER", SERVER)
    monkeypatch.setenv("FANBENCH_BROKER_URL", "redis://user:hunter2@broker:6379")
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module
    for path in FOLDER.glob("*.py"):
        sys.modules.pop(path.stem, None)


async def first_of(response) -> bytes:
    """The first piece of body that a response without an end writes."""
    bodies: asyncio.Queue[bytes] = asyncio.Queue()

    async def send(message):
        if message["type"] == "http.response.start":
            assert dict(message["headers"])[b"content-type"].startswith(b"text/event-stream")
        elif message["body"]:
            bodies.put_nowait(message["body"])

    scope = {"type": "http", "method": "GET", "headers": [], "asgi": {"spec_version": "2.3"}}
    answering = asyncio.create_task(response(scope, asyncio.Event().wait, send))
    first = asyncio.create_task(bodies.get())
    await asyncio.wait([answering, first], timeout=30, return_when=asyncio.FIRST_COMPLETED)
    assert first.done(), answering
    answering.cancel()
    await asyncio.wait([answering])
    return first.result()


@pytest.mark.parametrize("form", ["readable", "compact"])
async def test_the_load_reads_what_is_written(example, form):
    app = example("sse_starlette_queues")
    data = example("measured").stamped(published(17, form=form), "events")

    class Subscribed(set):
        """Puts the event into the first queue that appears."""

        def add(self, queue):
            super().add(queue)
            queue.put_nowait(data)

    app.queues["events"] = Subscribed()
    wire = await first_of(await app.sse("events"))
    assert not app.queues["events"]
    parser = SSEParser()
    (found,) = parser.feed(wire)
    assert parser.idle
    # As the load does: a compact event names neither its topic nor the server, whose answer does.
    assert unquote(example("measured").HEADERS["fanbench-server"]) == SERVER
    event = SeriesRegistry().item(found, Source(SERVER, "events"))
    assert isinstance(event, Event)
    assert (event.series.stream, event.series.topic, event.seq, event.measured) == ("k3f9", "events", 17, True)
    assert (event.server, event.due_ns, event.sent_ns) == (SERVER, DUE_NS, DUE_NS + 2_000)
    assert event.received_ns > DUE_NS


@pytest.mark.parametrize("form", ["readable", "compact"])
async def test_its_stats_are_those_of_a_replica_and_an_event_counts_once(example, form):
    measured = example("measured")
    app = example("sse_starlette_queues").app
    for seq, phase in ((0, "warmup"), (0, "warmup"), (1, "measure"), (2, "measure"), (1, "measure")):
        measured.stamped(published(seq, phase, form), "events")
    # Such a transport starts no lifespan: nothing listens to a broker.
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://replica") as asked:
        with measured.client("events"):
            assert (await asked.get("/readyz")).status_code == 200
            stats = decode(ReplicaStats, (await asked.get("/stats")).content, "/stats")
        later = decode(ReplicaStats, (await asked.get("/stats")).content, "/stats")
    assert (stats.server, stats.clients, stats.topics, stats.connects) == (SERVER, 1, {"events": 1}, 1)
    assert stats.received_of("k3f9") == {"events": PhaseCounts(warmup=1, measure=2)}
    assert stats.broker == "redis://broker:6379"
    assert (later.clients, later.topics) == (0, {})


def measured_rows(done, folder: Path) -> dict[str, dict[str, str]]:
    """The runs of a finished command, by contender; each run's deliveries were accounted for."""
    assert done.returncode in (0, 1), done.stdout + done.stderr  # 1: a busy machine refuses runs
    (found,) = folder.iterdir()
    with (found / "summary.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["contender"]: row for row in csv.DictReader(file)}
    for row in rows.values():
        assert int(row["delivered"]) + int(row["lost"]) == int(row["expected"]) > 0, row["problems"]
    return rows


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("integration")
def test_a_connection_for_each_client_is_seen_at_the_broker(tmp_path):
    done = fanbench("compare", "valkey-per-client", "sse-starlette", *SMALL, "--json", "--out", tmp_path, timeout_s=200)
    rows = measured_rows(done, tmp_path)
    assert {row["lost_unexplained"] for row in rows.values()} == {"0"}
    assert float(rows["valkey-per-client"]["broker_connections"]) >= 30
    assert float(rows["sse-starlette"]["broker_connections"]) < 10
    page = Path(json.loads(done.stdout)["report"]).read_text(encoding="utf-8")
    assert "anti-pattern: a connection to the broker for each client" in page


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("integration")
def test_a_queue_at_rabbitmq_for_each_client(tmp_path):
    if not find_contender("rabbitmq").runnable:
        missing(find_contender("rabbitmq").install_hint)
    rows = measured_rows(fanbench("compare", "rabbitmq-per-client", *SMALL, "--out", tmp_path, timeout_s=250), tmp_path)
    assert float(rows["rabbitmq-per-client"]["broker_connections"]) >= 30


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("integration")
@pytest.mark.parametrize("name", ["valkey-per-client", "sse-starlette"])
def test_a_broker_that_dies_ends_in_a_result(tmp_path, name):
    words = ("faults", name, "--fault", "broker-kill", "--clients", 30, "--rounds", 1, "--out", tmp_path)
    rows = measured_rows(fanbench(*words, timeout_s=250), tmp_path)
    assert rows[name]["recovered"] in ("0.0", "1.0")
