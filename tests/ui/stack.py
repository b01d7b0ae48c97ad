"""The back end of the page: a real broker, a real generator and a real replica that can stop and return."""

import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import redis as redis_library

from brokers.programs.catalogue import PROGRAMS
from brokers.programs.running import Running
from core.ports import free_port
from core.process import Child
from tests.programs import FORKED
from tests.waiting import wait_until


@dataclass
class Replica:
    """`python -m server` on a port that stays the same over restarts."""

    broker_url: str
    folder: Path
    settings: dict[str, str]
    port: int
    child: Child | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        self.child = program("server", self.broker_url, self.folder, self.settings | {"FANBENCH_PORT": str(self.port)})
        wait_until(self.is_ready, "the replica is ready", 30)

    def is_ready(self) -> bool:
        assert self.child is not None
        self.child.require_alive()
        try:
            with urllib.request.urlopen(self.url + "readyz", timeout=30):
                return True
        except (urllib.error.URLError, ConnectionError):
            return False

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop()


@dataclass
class Stack:
    """Broker, replica, and a generator if the test starts one; `close` ends them all."""

    broker: Running
    folder: Path
    replica: Replica
    generator: Child | None = None
    stream: str = "handmade"

    @property
    def broker_url(self) -> str:
        return self.replica.broker_url

    def generate(self, rate_hz: float, topics: str = "events") -> None:
        settings = {"FANBENCH_RATE_HZ": str(rate_hz), "FANBENCH_TOPICS": topics}
        self.generator = program("generator", self.broker_url, self.folder, settings)

    def publish(self, seq: int, topic: str = "events", pad: str = "", due_ns: int | None = None) -> None:
        """One event of `stream`, with any pad."""
        due_ns = time.time_ns() if due_ns is None else due_ns
        stamp = {"stream": self.stream, "seq": seq, "topic": topic, "phase": "measure", "due_ns": due_ns}
        event = stamp | {"sent_ns": due_ns, "pad": pad}
        with redis_library.Redis.from_url(self.broker_url) as client:
            client.publish(topic, json.dumps(event))

    def stop_generating(self) -> None:
        if self.generator is not None:
            self.generator.stop()
            self.generator = None

    def close(self) -> None:
        self.stop_generating()
        self.replica.stop()
        self.broker.stop()


def program(name: str, broker_url: str, folder: Path, settings: dict[str, str]) -> Child:
    """Start one of the project's programs."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("FANBENCH_")}
    environment |= {"FANBENCH_BROKER_URL": broker_url} | settings
    return FORKED.spawn(name, name, folder / f"{name}.log", environment)


def start_stack(folder: Path, scheme: str = "redis") -> Stack:
    """A Valkey, and a replica that uses the adapter of `scheme`."""
    broker = PROGRAMS["valkey"].start(folder)
    replica = Replica(f"{scheme}://{broker.listeners['redis']}", folder, {"FANBENCH_SERVER": "replica-1"}, free_port())
    stack = Stack(broker, folder, replica)
    try:
        replica.start()
    except BaseException:
        stack.close()
        raise
    return stack
