"""Well-behaved clients, and their latency while somebody else misbehaves.

They run in a separate process: in threads, they would measure Python's lock.
"""

import json
import selectors
import subprocess
import sys
import threading
import time
from typing import NamedTuple

from core.process import OWN_PYTHON
from tests.server.program import Publisher, SseClient

RATE_HZ = 50
CLIENTS = 5
WARM_UP = 100
LAST = "last"


class Waits(NamedTuple):
    """The latencies from the publisher to a client."""

    count: int
    p99_s: float
    max_s: float


class Bystanders:
    """CLIENTS streams on their own topic, with events at RATE_HZ, until `stop`."""

    def __init__(self, port: int, broker_port: int, topic: str = "bystanders") -> None:
        command = [*OWN_PYTHON, "-m", "tests.server.bystanders", str(port), str(broker_port), topic]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.before = Waits(*json.loads(self._process.stdout.readline()))
        """What they waited before anything happened."""

    def stop(self) -> Waits:
        """Their latencies since then; fails if one of them missed an event."""
        output, _ = self._process.communicate("stop\n", timeout=60)
        assert self._process.returncode == 0
        return Waits(*json.loads(output))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def summarize(latencies_s: list[float]) -> str:
    found = sorted(latencies_s)
    return json.dumps(Waits(len(found), found[min(len(found) - 1, int(0.99 * len(found)))], found[-1]))


def publish(broker_port: int, topic: str, stop: threading.Event, sent: list[int]) -> None:
    publisher = Publisher(broker_port)
    due_s = time.monotonic()
    while not stop.is_set():
        publisher.event(topic)
        sent[0] += 1
        due_s += 1 / RATE_HZ
        time.sleep(max(0.0, due_s - time.monotonic()))
    publisher.event(topic, pad=LAST)


def main(port: int, broker_port: int, topic: str) -> None:
    """Print the latencies of the warm-up, and after a line on stdin those since then."""
    clients = [SseClient(port, f"/sse?topic={topic}").opened() for _ in range(CLIENTS)]
    stop, sent, latencies_s, counts = threading.Event(), [0], [], [0] * CLIENTS
    threading.Thread(target=publish, args=(broker_port, topic, stop, sent)).start()
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    warm, listening = True, CLIENTS
    with selectors.DefaultSelector() as selector:
        for place, client in enumerate(clients):
            selector.register(client.sock, selectors.EVENT_READ, place)
        while listening:
            for key, _ in selector.select():
                client = clients[key.data]
                client.read_some()
                arrived_ns = time.time_ns()
                assert not client.ended
                for event in client.take(len(client.events)):
                    fields = json.loads(event.data)
                    assert event.event == "message", event.data
                    latencies_s.append((arrived_ns - fields["sent_ns"]) / 1e9)
                    counts[key.data] += 1
                    listening -= fields["pad"] == LAST
            if warm and len(latencies_s) >= WARM_UP * CLIENTS:
                print(summarize(latencies_s), flush=True)
                warm = False
                latencies_s.clear()
    assert counts == [sent[0] + 1] * CLIENTS, (counts, sent)
    print(summarize(latencies_s), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
