"""Starts a program in a container, with FANBENCH_BROKER_URL=auto replaced by the broker that answers there.

Compose tells no container which profiles are active, so the programs look for the brokers' names. A broker counts
once its name resolves, a cluster by that of any of its nodes; redis, which profile `load` brings too, only if no other has appeared in SETTLE_S, or next to
Locust in the longer SETTLE_BESIDE_LOCUST_S: a replica that settled on redis too soon would never see an event.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import threading
import time
from datetime import datetime


def nodes(prefix: str, port: int) -> str:
    """Three containers, as a URL lists them."""
    return ",".join(f"{prefix}{number}:{port}" for number in (1, 2, 3))


BROKERS = {
    "rabbitmq": "amqp://guest:guest@rabbitmq:5672",
    "valkey": "redis://valkey:6379",
    "mosquitto": "mqtt://mosquitto:1883",
    "nats": "nats://nats:4222",
    "postgres": "postgresql://fanbench@postgres:5432/postgres",
    "valkey-sentinel": f"redis+sentinel://{nodes('valkey-sentinel-sentinel-', 26379)}/fanbench",
    "redis-sentinel": f"redis+sentinel://{nodes('redis-sentinel-sentinel-', 26379)}/fanbench",
    "valkey-cluster": f"redis+cluster://{nodes('valkey-cluster-node-', 6379)}",
    "nats-cluster": f"nats://{nodes('nats-cluster-', 4222)}",
    "rabbitmq-cluster": f"amqp://guest:guest@{nodes('rabbitmq-cluster-', 5672)}",
    "redis": "redis://redis:6379",
}
LOCUST, LOCUST_PORT = "locust", 8089
SETTLE_S = 3.0
SETTLE_BESIDE_LOCUST_S = 15.0
WAIT_S = 120.0
POLL_S = 0.2


def choose(present: set[str], answering: set[str], waited_s: float) -> str | None:
    """The name of the broker to use, or None while that is not yet clear or it does not answer yet."""
    found = next((name for name in BROKERS if name in present), None)
    settle_s = SETTLE_BESIDE_LOCUST_S if LOCUST in present else SETTLE_S
    if found not in answering or (found == "redis" and waited_s < settle_s):
        return None
    return found


def hosts(url: str) -> list[tuple[str, int]]:
    """The hosts and ports of a URL."""
    places = url.partition("://")[2].rpartition("@")[2].partition("/")[0]
    return [(host, int(port)) for host, _, port in (place.partition(":") for place in places.split(","))]


def look(name: str, host: str, port: int, present: set[str], answering: set[str]) -> None:
    """Wait until a `host` of broker `name` resolves, then until a port takes a connection; runs as a thread."""
    while name not in answering:
        try:
            # The dot ends the name: no search domain of the host may supply a broker of its own.
            socket.getaddrinfo(f"{host}.", port)
            present.add(name)
            socket.create_connection((host, port), timeout=2).close()
            answering.add(name)
        except OSError:
            time.sleep(POLL_S)


def say(words: str) -> None:
    """Log a line, in the form of the program's own log (core/logs.py), which cannot be imported yet: its start takes a second."""
    if os.environ.get("FANBENCH_LOG_FORMAT") == "json":
        moment = datetime.now().astimezone().isoformat(timespec="milliseconds")
        words = json.dumps({"time": moment, "level": "info", "logger": "entrypoint", "message": words})
    else:
        words = f"entrypoint: {words}"
    print(words, flush=True)


def find_broker() -> str:
    """The URL of the broker whose profile is active; ends the program when none answers within WAIT_S."""
    present: set[str] = set()
    answering: set[str] = set()
    places = {name: hosts(url) for name, url in BROKERS.items()} | {LOCUST: [(LOCUST, LOCUST_PORT)]}
    for name, found in places.items():
        for host, port in found:
            threading.Thread(target=look, args=(name, host, port, present, answering), daemon=True).start()
    started = time.monotonic()
    while (waited_s := time.monotonic() - started) < WAIT_S:
        if name := choose(present, answering, waited_s):
            return BROKERS[name]
        time.sleep(POLL_S)
    there = ", ".join(sorted(present & BROKERS.keys()))
    seen = f"{there} is there but does not answer" if there else "no broker is there"
    sys.exit(
        f"FANBENCH_BROKER_URL=auto: {seen} after {WAIT_S:.0f} s; start one by its profile, for instance "
        "'docker compose --profile redis up', or set FANBENCH_BROKER_URL"
    )


if __name__ == "__main__":
    if os.environ.get("FANBENCH_BROKER_URL") == "auto":
        os.environ["FANBENCH_BROKER_URL"] = find_broker()
        say(f"broker {os.environ['FANBENCH_BROKER_URL'].rpartition('@')[2]}")
    # A replica's name is its container's id, which is what `docker stop` takes.
    os.environ.setdefault("FANBENCH_SERVER", socket.gethostname())
    # A client is a descriptor, at the replicas and at the load workers; the usual soft limit is 1024.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606
