"""What fanbench needs to measure a server: a stamp on each event, /readyz and /stats. No tutorial has this part."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

from fastapi import FastAPI

BROKER_URL = os.environ.get("FANBENCH_BROKER_URL", "redis://127.0.0.1:6379")
_SERVER = os.environ.get("FANBENCH_SERVER", "replica-1")
HEADERS = {"fanbench-server": quote(_SERVER)}
"""Names this server to clients whose events do not."""
_COMPACT = re.compile(r"([a-z0-9]+)-([0-9]+)(([wm])([0-9a-f]+)\.([0-9a-f]+)) ")
_STAMP = f'{{"server":{json.dumps(_SERVER)},"received_ns":'

_clients: Counter[str] = Counter()
_received: dict[str, dict[str, dict[str, int]]] = {}
_last_seq: dict[tuple[str, str], int] = {}
_delivered = 0
_connects = 0
_subscribed = _unsubscribed = 0


def stamped(published: str, topic: str) -> dict[str, str]:
    """A published event as clients get it, as the fields of a server-sent event: with the arrival time.

    A readable one also has this server's name; a compact one has an id, because its stamp is split between id and data.
    If several connections receive one event, it counts once, at its first arrival.
    """
    received_ns = time.time_ns()
    compact = _COMPACT.match(published)
    if compact is None:
        event = json.loads(published)
        _count(event["stream"], event["seq"], topic, event["phase"])
        return {"data": f"{_STAMP}{received_ns},{published[1:]}"}
    stream, seq, stamp, letter, due, late = compact.groups()
    _count(stream, int(seq), topic, "measure" if letter == "m" else "warmup")
    since_us = received_ns // 1000 - int(due, 16) - int(late, 16)
    return {"id": f"{stream}-{seq}", "data": f"{stamp}.{since_us:x} {published[compact.end() :]}"}


def _count(stream: str, seq: int, topic: str, phase: str) -> None:
    if seq > _last_seq.get((stream, topic), -1):
        _last_seq[stream, topic] = seq
        _received.setdefault(stream, {}).setdefault(topic, {"warmup": 0, "measure": 0})[phase] += 1


def as_text(event: dict[str, str]) -> str:
    """The fields of an event as lines of a stream."""
    return "".join(f"{name}: {value}\n" for name, value in event.items()) + "\n"


@contextmanager
def client(topic: str, *, subscribes: bool = True) -> Iterator[None]:
    """Count a client of the topic while it is connected, and its own subscription, if it has one."""
    global _connects, _subscribed, _unsubscribed
    _connects += 1
    _subscribed += subscribes
    _clients[topic] += 1
    try:
        yield
    finally:
        _clients[topic] -= 1
        _unsubscribed += subscribes


def delivered() -> None:
    """Count an event that will now be written to a client."""
    global _delivered
    _delivered += 1


def add_measuring(app: FastAPI) -> None:
    """The endpoints that fanbench reads: whether it is ready, and its counts."""

    @app.get("/readyz")
    async def readyz() -> dict[str, bool]:
        return {"ready": True}  # as such servers do, whatever the broker's state

    @app.get("/stats")
    async def stats() -> dict[str, object]:
        broker = urlsplit(BROKER_URL)
        topics = {topic: count for topic, count in _clients.items() if count}
        counted = {
            "clients": sum(topics.values()),
            "topics": topics,
            "received": _received,
            "delivered": _delivered,
            "connects": _connects,
            "opened_topics": _subscribed,
            "closed_topics": _unsubscribed,
        }
        # It watches neither its broker connections nor its clients' buffers, so these counts are unknown.
        none = ("gaps", "holes", "dropped", "replayed", "turned_away")
        none += ("buffered_bytes", "history_events", "history_bytes")
        none_by_reason: dict[str, dict[str, int]] = {
            name: {} for name in ("gap_lost", "foreign", "disconnects", "refused")
        }
        return {
            "version": 1,
            "server": _SERVER,
            "pid": os.getpid(),
            "ready": True,
            "broker": f"{broker.scheme}://{broker.hostname}:{broker.port}",
            "delivery": "at-most-once",
            "broker_connected": True,
            "broker_notice": "",
            "batch_sends": False,
            **counted,
            **dict.fromkeys(none, 0),
            **none_by_reason,
        }
