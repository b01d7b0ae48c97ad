"""Several sessions of the load side in one process, without Locust: `sessions.py PLAN STATUS-FILE OUT-FILE`.

The plan is JSON: case to `{"urls": […], "clients": n}`. Writes each case's deliveries to the status file, and on
SIGTERM each case's outcome to the other.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event

from load.outcome import outcome
from load.plan import Plan, Share
from load.session import TICK_S, Session
from load.totals import horizon_of
from load.uplink import drain
from load.wire import parse_origin
from load.wiring import Address

DRAIN_S = 0.3


def session_of(urls: list[str], clients: int) -> Session:
    """A session with all its clients seated."""
    origins = [parse_origin(url) for url in urls]
    session = Session(
        gevent.get_hub().loop,
        [Address(origin, 2, (origin.host, origin.port)) for origin in origins],
        Plan(Share(0, 1, clients), ["events"], 0.0, len(urls)),
        on_connect=lambda _took_ns, _failure: None,
        on_break=lambda _reason: None,
        on_fold=lambda _latency_ns: None,
    )
    for _ in range(clients):
        session.join()
    return session


def write(path: str, value: dict[str, Any]) -> None:
    """Replace the file in one step."""
    part = Path(path + ".part")
    part.write_text(json.dumps(value))
    part.replace(path)


def main() -> None:
    """Run until SIGTERM."""
    sessions = {case: session_of(**plan) for case, plan in json.loads(sys.argv[1]).items()}
    stop = Event()
    gevent.signal_handler(signal.SIGTERM, stop.set)
    while not stop.wait(TICK_S):
        for session in sessions.values():
            session.tick()
        write(sys.argv[2], {case: session.status()["deliveries"] for case, session in sessions.items()})
    drains = {
        case: gevent.spawn(drain, session, horizon_of(session.series), DRAIN_S) for case, session in sessions.items()
    }
    write(sys.argv[3], {case: outcome(totals.get(), []) for case, totals in drains.items()})


if __name__ == "__main__":
    main()
