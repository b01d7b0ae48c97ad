"""Well-behaved clients, and their latency while somebody else misbehaves.

A latency is the CPU time that the replica uses meanwhile, which is the same on a busy machine. A replica that waits for
somebody instead uses none, so the time in which its main thread neither runs nor could run is measured as well.

They run in a separate process: in threads, they would measure Python's lock.
"""

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from typing import NamedTuple

from core.process import OWN_PYTHON
from tests.server.program import Publisher, Replica, SseClient

RATE_HZ = 50
CLIENTS = 5
WARM_UP = 100
LAST = "last"


class Waits(NamedTuple):
    """The latencies from the publisher to a client, in CPU time of the replica."""

    count: int
    p99_s: float
    max_s: float
    idle_p99_s: float
    """The same in time in which the replica's main thread waited for something other than a core."""


class Bystanders:
    """CLIENTS streams on their own topic, with events at RATE_HZ, until `stop`."""

    def __init__(self, replica: Replica, broker_port: int, topic: str = "bystanders") -> None:
        words = [replica.port, broker_port, replica.process.pid, topic]
        command = [*OWN_PYTHON, "-m", "tests.server.bystanders", *map(str, words)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.before = Waits(*json.loads(self._process.stdout.readline()))
        """Their latencies before anything happened."""

    def stop(self) -> Waits:
        """Their latencies since then; fails if one of them missed an event."""
        output, _ = self._process.communicate("stop\n", timeout=60)
        assert self._process.returncode == 0
        return Waits(*json.loads(output))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Instant(NamedTuple):
    """A process's time, of which only differences mean something."""

    cpu_s: float
    """The CPU of all its threads, in hundredths of a second."""
    idle_s: float
    """How long its main thread neither ran nor waited for a core."""


class ProcessClock:
    """The time of a process, as its kernel counts it."""

    def __init__(self, pid: int) -> None:
        self._stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        self._schedstat = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY)
        self._ticks_hz = os.sysconf("SC_CLK_TCK")

    def now(self) -> Instant:
        user, system = os.pread(self._stat, 4096, 0).rpartition(b")")[2].split()[11:13]
        ran_ns, queued_ns, _ = os.pread(self._schedstat, 256, 0).split()
        idle_s = time.monotonic() - (int(ran_ns) + int(queued_ns)) / 1e9
        return Instant((int(user) + int(system)) / self._ticks_hz, idle_s)


def summarize(waits: list[Instant]) -> str:
    cpu_s, idle_s = sorted(one.cpu_s for one in waits), sorted(one.idle_s for one in waits)
    p99 = min(len(waits) - 1, int(0.99 * len(waits)))
    return json.dumps(Waits(len(waits), cpu_s[p99], cpu_s[-1], idle_s[p99]))


def publish(broker_port: int, topic: str, stop: threading.Event, clock: ProcessClock, sent: list[Instant]) -> None:
    """Publish events until `stop`; `sent` gets the replica's time before each event."""
    publisher = Publisher(broker_port)
    due_s = time.monotonic()
    while not stop.is_set():
        sent.append(clock.now())
        publisher.event(topic)
        due_s += 1 / RATE_HZ
        time.sleep(max(0.0, due_s - time.monotonic()))
    sent.append(clock.now())
    publisher.event(topic, pad=LAST)


def main(port: int, broker_port: int, pid: int, topic: str) -> None:
    """Print the latencies of the warm-up, and after a line on stdin those since then."""
    clients = [SseClient(port, f"/sse?topic={topic}").opened() for _ in range(CLIENTS)]
    clock, sent, waits, counts = ProcessClock(pid), list[Instant](), list[Instant](), [0] * CLIENTS
    stop = threading.Event()
    threading.Thread(target=publish, args=(broker_port, topic, stop, clock, sent)).start()
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    warm, listening = True, CLIENTS
    with selectors.DefaultSelector() as selector:
        for place, client in enumerate(clients):
            selector.register(client.sock, selectors.EVENT_READ, place)
        while listening:
            for key, _ in selector.select():
                client = clients[key.data]
                client.read_some()
                arrived = clock.now()
                assert not client.ended
                for event in client.take(len(client.events)):
                    fields = json.loads(event.data)
                    assert event.event == "message", event.data
                    began = sent[fields["seq"]]
                    waits.append(Instant(arrived.cpu_s - began.cpu_s, arrived.idle_s - began.idle_s))
                    counts[key.data] += 1
                    listening -= fields["pad"] == LAST
            if warm and len(waits) >= WARM_UP * CLIENTS:
                print(summarize(waits), flush=True)
                warm = False
                waits.clear()
    assert counts == [len(sent)] * CLIENTS, (counts, len(sent))
    print(summarize(waits), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
