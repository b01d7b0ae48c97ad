"""Starts a program in a container, with FANBENCH_BROKER_URL=auto replaced by the broker that answers there.

Compose tells no container which profiles are active, so the programs look for the brokers' names. A broker counts
once its name resolves; redis, which profile `load` brings too, only if no other has turned up in SETTLE_S, or beside
Locust in the longer SETTLE_BESIDE_LOCUST_S: a replica that settled on redis too soon would see no event, for good.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import threading
import time

BROKERS = {
    "rabbitmq": ("amqp://guest:guest@rabbitmq:5672", 5672),
    "valkey": ("redis://valkey:6379", 6379),
    "mosquitto": ("mqtt://mosquitto:1883", 1883),
    "nats": ("nats://nats:4222", 4222),
    "redis": ("redis://redis:6379", 6379),
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


def look(name: str, port: int, present: set[str], answering: set[str]) -> None:
    """Wait until `name` resolves, then until its port takes a connection; a thread's whole life."""
    while name not in answering:
        try:
            # The dot ends the name: no search domain of the host may supply a broker of its own.
            socket.getaddrinfo(f"{name}.", port)
            present.add(name)
            socket.create_connection((name, port), timeout=2).close()
            answering.add(name)
        except OSError:
            time.sleep(POLL_S)


def find_broker() -> str:
    """The URL of the broker whose profile is active; ends the program when none answers within WAIT_S."""
    present: set[str] = set()
    answering: set[str] = set()
    ports = {name: port for name, (_, port) in BROKERS.items()} | {LOCUST: LOCUST_PORT}
    for name, port in ports.items():
        threading.Thread(target=look, args=(name, port, present, answering), daemon=True).start()
    started = time.monotonic()
    while (waited_s := time.monotonic() - started) < WAIT_S:
        if name := choose(present, answering, waited_s):
            return BROKERS[name][0]
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
        print(f"entrypoint: broker {os.environ['FANBENCH_BROKER_URL'].rpartition('@')[2]}", flush=True)
    # A replica goes by its container's id, which is what `docker stop` takes.
    os.environ.setdefault("FANBENCH_SERVER", socket.gethostname())
    # A client is a descriptor, at the replicas and at the load workers; the usual soft limit is 1024.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606
