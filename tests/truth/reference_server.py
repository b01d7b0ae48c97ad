"""A reference SSE server that follows a script, without any code of server/.

`python tests/truth/reference_server.py '[{"measure": 100, …}, …]'` runs one server for each script until it is ended,
and prints their ports. It makes its own events, as if generator, broker and hub were one: `due_ns`, `sent_ns` and
`received_ns` are set back from the writing instant by the script's hop times, so that the injected times do not depend
on how well it sleeps. Once all is sent it prints `sent N N …`: the number of different measured events that each server
sent, counted per client.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field

from core.sse import encode_comment, encode_event
from core.stamp import Stamp, encode, parse_id


@dataclass
class Script:
    """What the server does. Seqs are those of the events; `every` selects the clients (1: all, 2: every second …)."""

    server: str = "reference"
    stream: str = "truth"
    topic: str = "events"
    clients: int = 1  # begins once this many are connected
    warmup: int = 3
    warmup_ms: float = 0.0  # extra lateness of warm-up events
    measure: int = 100
    rate_hz: float = 100.0
    schedule_ms: float = 0.0
    broker_ms: float = 0.0
    fanout_ms: float = 0.0
    stall_at: int | None = (
        None  # from this seq on nothing is sent for stall_s; events due meanwhile are sent afterwards
    )
    stall_s: float = 2.0
    stall_hop: str = "fanout"  # or broker or schedule: the hop where the stamps show the stall
    omit: list[int] = field(default_factory=list)
    double: list[int] = field(default_factory=list)
    swap: list[int] = field(default_factory=list)  # each swapped with the next one
    tail: int = 0  # this many at the end are left out
    every: int = 1
    chunked: bool = True
    split_bytes: int = 0  # cut the stream into pieces of this size; 0: one chunk for one event
    batch: int = 1  # this many events in one chunk
    drop_at: list[int] = field(default_factory=list)  # connections are cut after these seqs
    drop_abruptly: bool = False
    drop_for_good: bool = False  # nobody waits for cut clients to return
    resume: bool = True  # honours Last-Event-ID
    gap_at: list[int] = field(default_factory=list)  # event: gap before these seqs
    foreign_at: list[int] = field(default_factory=list)  # a foreign event before these seqs
    retry_ms: int = 50
    status: int = 200
    linger: bool = True  # keeps the connections open after the last event


class Client:
    """One connection."""

    def __init__(self, writer: asyncio.StreamWriter, script: Script, number: int) -> None:
        self.writer = writer
        self.script = script
        self.number = number
        self.chosen = number % script.every == 0
        self.pending = b""
        self.pending_events = 0

    def send(self, frame: bytes) -> None:
        """One frame, chunked and cut as the script says."""
        self.pending += frame
        self.pending_events += 1
        if self.pending_events >= self.script.batch:
            self.flush()

    def flush(self) -> None:
        """The frames that wait for a full batch."""
        body, self.pending, self.pending_events = self.pending, b"", 0
        if not body:
            return
        size = self.script.split_bytes
        pieces = [body[at : at + size] for at in range(0, len(body), size)] if size else [body]
        for piece in pieces:
            self.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self.script.chunked else piece)

    def cut(self) -> None:
        """End the connection, cleanly or not."""
        self.flush()
        if self.script.drop_abruptly:
            self.writer.transport.abort()
        else:
            self.writer.close()


class Server:
    """All connections, and the events so far."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.connected: dict[Client, None] = {}
        self.sent: list[bytes] = []
        self.enough = asyncio.Event()
        self.number = 0
        self.deliveries: set[tuple[int, int]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and keep the connection until the other end leaves."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if head.startswith("GET /clock"):  # it has no request, and this connection is not a client
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        client = Client(writer, self.script, self.number)
        self.number += 1
        if self.script.status != 200:
            writer.write(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % self.script.status)
            writer.close()
            return
        framing = "Transfer-Encoding: chunked\r\n" if self.script.chunked else ""
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n{framing}\r\n".encode())
        client.send(encode_comment("ref", retry_ms=self.script.retry_ms))
        client.flush()
        self.replay(client, head)
        self.connected[client] = None
        if len(self.connected) >= self.script.clients:
            self.enough.set()
        await reader.read()
        self.connected.pop(client, None)

    def replay(self, client: Client, head: str) -> None:
        """The events that a returning client missed."""
        last = next((line.split(": ")[1] for line in head.split("\r\n") if line.startswith("Last-Event-ID")), "")
        known = parse_id(last)
        if self.script.resume and known is not None:
            for seq, frame in enumerate(self.sent[known[1] + 1 :], known[1] + 1):
                self.send(client, seq, frame)

    def frame(self, seq: int, due_ns: int, held_ns: int) -> bytes:
        """The event as this server sends it, with stamps for an instant `held_ns` after it was due.

        Without a stall, all three stamps are set back by the script's hop times.
        """
        script = self.script
        late_ns = time.time_ns() - due_ns - held_ns
        warmup = seq < script.warmup
        schedule_ns, broker_ns, fanout_ns = (
            int(ms * 1e6) for ms in (script.schedule_ms, script.broker_ms, script.fanout_ms + script.warmup_ms * warmup)
        )
        due_ns += late_ns - schedule_ns - broker_ns - fanout_ns
        sent_ns = due_ns + schedule_ns + (held_ns if script.stall_hop == "schedule" else 0)
        received_ns = sent_ns + broker_ns + (held_ns if script.stall_hop == "broker" else 0)
        stamp = Stamp(script.stream, seq, script.topic, "warmup" if warmup else "measure", due_ns, sent_ns)
        prefix = f'{{"server":"{script.server}","received_ns":{received_ns},'
        return encode_event(prefix + encode(stamp, "x" * 60)[1:].decode(), id=stamp.id)

    async def publish(self) -> None:
        """Send every event of the script, in time."""
        script = self.script
        await self.enough.wait()
        start_ns = time.time_ns()
        held: dict[Client, tuple[int, bytes]] = {}
        stalled_from_ns = stalled_until_ns = 0
        for seq in range(script.warmup + script.measure):
            due_ns = start_ns + int(seq * 1e9 / script.rate_hz)
            if seq == script.stall_at:
                stalled_from_ns, stalled_until_ns = due_ns, due_ns + int(script.stall_s * 1e9)
            stalled = stalled_from_ns <= due_ns < stalled_until_ns
            leaves_ns = stalled_until_ns if stalled else due_ns
            await asyncio.sleep(max(0.0, (leaves_ns - time.time_ns()) / 1e9))
            frame = self.frame(seq, due_ns, leaves_ns - due_ns)
            self.sent.append(frame)
            for client in list(self.connected):
                self.deliver(client, seq, frame, held)
            if seq in script.drop_at:
                await self.all_back()
                for client in [client for client in self.connected if client.chosen]:
                    self.connected.pop(client)
                    client.cut()
        if script.drop_at and not script.drop_for_good:
            await self.all_back()
        for client in self.connected:
            client.flush()
            if not script.linger:
                client.writer.write(b"0\r\n\r\n" if script.chunked else b"")
                client.writer.close()

    async def all_back(self) -> None:
        """Wait until the clients that were cut are connected again."""
        while len(self.connected) < self.script.clients:
            await asyncio.sleep(0.001)

    def deliver(self, client: Client, seq: int, frame: bytes, held: dict[Client, tuple[int, bytes]]) -> None:
        """Send one event to one client, with the script's disturbances."""
        script = self.script
        if client.chosen:
            if seq in script.gap_at:
                client.send(encode_event('{"server":"ref","cause":"overflow","lost":null,"topic":null}', event="gap"))
            if seq in script.foreign_at:
                client.send(encode_event("this is not JSON"))
            if seq in script.omit or seq >= script.warmup + script.measure - script.tail:
                return
            if seq in script.swap:
                held[client] = (seq, frame)
                return
            if seq in script.double:
                client.send(frame)
        self.send(client, seq, frame)
        if client in held:
            self.send(client, *held.pop(client))

    def send(self, client: Client, seq: int, frame: bytes) -> None:
        """Send a frame and count it if it counts."""
        client.send(frame)
        if seq >= self.script.warmup:
            self.deliveries.add((client.number, seq))


async def main() -> None:
    """Serve until ended."""
    servers = [Server(Script(**script)) for script in json.loads(sys.argv[1])]
    listeners = [await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=2048) for server in servers]
    print("ports", *(listener.sockets[0].getsockname()[1] for listener in listeners), flush=True)
    await asyncio.gather(*(server.publish() for server in servers))
    print("sent", *(len(server.deliveries) for server in servers), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
