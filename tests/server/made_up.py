"""A hub without a broker and clients without connections."""

import asyncio
from collections.abc import Sequence

from core.sse import SSEEvent, SSEParser
from core.stamp import Stamp, encode
from server.broadcast_group import Sender
from server.client import Client
from server.frame import Wire
from server.history import HistoryBound
from server.hub import Hub, HubSettings
from server.resume import Given, read_ids, resume

ROOMY = HistoryBound(10_000, 10**9, 10**20)
SECOND_NS = 10**9


class ConnectionWriter:
    """A connection that accepts everything or, with `stuck`, nothing, and then notifies the hub at `bound_bytes`."""

    def __init__(self, hub: Hub, wire: Wire = Wire.PLAIN, *, stuck: bool = False, bound_bytes: int = 10**9) -> None:
        self.hub = hub
        self.wire = wire
        self.descriptor = -1
        self.stuck = stuck
        self.bound_bytes = bound_bytes
        self.client: Client | None = None
        self.taken = b""
        self.writes: list[bytes] = []
        self.held: list[bytes] = []
        self.live = False
        self.finished = False
        self.aborted = False

    def write(self, data: bytes) -> None:
        assert True not in (self.finished, self.aborted), "written to after its end"
        self.writes.append(data)
        if not self.stuck:
            self.taken += data
            return
        self.held.append(data)
        if self.held_bytes() > self.bound_bytes:
            assert self.client is not None
            self.hub.paused(self.client)

    def write_many(self, parts: Sequence[bytes]) -> None:
        for part in parts:
            self.write(part)

    def held_bytes(self) -> int:
        return sum(map(len, self.held))

    def unstick(self) -> None:
        """The other end reads again."""
        assert self.client is not None
        self.stuck = False
        self.taken += b"".join(self.held)
        self.held.clear()
        self.hub.resumed(self.client)

    def go_live(self) -> None:
        self.live = True

    def finish(self) -> None:
        self.finished = True

    def abort(self) -> None:
        self.aborted = True
        self.held.clear()

    @property
    def events(self) -> list[SSEEvent]:
        parser = SSEParser()
        events = parser.feed(self.taken)
        assert parser.idle, "cut within an event"
        return events

    @property
    def ids(self) -> list[str]:
        """The ids of the published events that it received."""
        return [event.id for event in self.events if event.event == "message"]

    @property
    def gaps(self) -> list[str]:
        return [event.data for event in self.events if event.event == "gap"]


def make_hub(
    topics: Sequence[str] = ("t",),
    history: HistoryBound = ROOMY,
    *,
    total_bytes: int = 10**9,
    name: str = "r",
    sender: Sender | None = None,
) -> Hub:
    """A hub whose topics have always been open; call it within a running loop."""
    settings = HubSettings(
        name, history, total_bytes, max_event_bytes=1000, heartbeat_s=15, max_stream_age_s=0, stall_timeout_s=30
    )
    hub = Hub(settings, asyncio.get_running_loop(), sender)
    for topic in topics:
        hub.open_topic(topic, 0)
    return hub


def event(stream: str, seq: int, topic: str = "t", sent_ns: int = 0, pad: str = "") -> bytes:
    return encode(Stamp(stream, seq, topic, "measure", sent_ns, sent_ns), pad)


def connect(
    hub: Hub, writer: ConnectionWriter, topics: Sequence[str] = ("t",), ids: Sequence[str] = (), overlap_ns: int = 0
) -> Client:
    """What server/stream.py does with a request."""
    client = writer.client = Client(topics, writer)
    given: Given | None = read_ids(ids, topics)
    histories = {name: hub.topics[name].history for name in topics}
    from_start = given is not None and given.from_start
    hub.join(client, resume(given, histories, overlap_ns), b": hello\n\n", from_start=from_start)
    return client


async def turns(count: int = 10) -> None:
    """Run this many turns of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)
