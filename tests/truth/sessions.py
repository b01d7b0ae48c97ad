"""Runs several sessions of the load without Locust, with the code of one or more source trees: `sessions.py JOBS`.

The jobs are JSON: a list of `{"tree": …, "plan": case to {"urls": […], "clients": n}, "status": FILE, "out": FILE}`.
Each is a fork of this process, which has imported the libraries; `load` and `core` come from its tree. It writes each
case's deliveries to the status file and, on SIGTERM to this process, each case's build_result to the other file. The
exit code is 1 as soon as one has failed.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

LIBRARIES = ("gevent.event", "gevent.server", "hdrh.histogram", "numpy", "orjson")
DRAIN_S = 0.3


def session_of(urls: list[str], clients: int) -> Any:
    """A session with all its clients in their seats."""
    import gevent

    from core.endpoint.origin import parse_origin
    from load.connection_pool import ReplicaAddress
    from load.plan import Seating
    from load.session import Session

    origins = [parse_origin(url) for url in urls]
    session = Session(
        gevent.get_hub().loop,
        [ReplicaAddress(origin, 2, (origin.host, origin.port)) for origin in origins],
        Seating(["events"], 0.0, len(urls)),
        on_connect=lambda _took_ns, _failure: None,
        on_break=lambda _reason: None,
        on_fold=lambda _: None,
    )
    for number in range(clients):
        session.join(number)
    return session


def write(path: str, value: dict[str, Any]) -> None:
    """Replace the file in one step."""
    part = Path(path + ".part")
    part.write_text(json.dumps(value))
    part.replace(path)


def run(plan: dict[str, Any], status: str, out: str) -> None:
    """Run one job until SIGTERM."""
    import gevent
    from gevent.event import Event

    from core.contracts.codec import encode
    from load.finalize import drain
    from load.result import build_result
    from load.session import TICK_S
    from load.worker_result import horizon_of

    sessions = {case: session_of(**of_case) for case, of_case in plan.items()}
    stop = Event()
    gevent.signal_handler(signal.SIGTERM, stop.set)
    while not stop.wait(TICK_S):
        for session in sessions.values():
            session.tick()
        write(status, {case: session.status().deliveries for case, session in sessions.items()})
    drains = {
        case: gevent.spawn(drain, session, horizon_of(session.series), DRAIN_S, len(session.clients))
        for case, session in sessions.items()
    }
    results = {case: build_result(totals.get(), plan[case]["clients"], []) for case, totals in drains.items()}
    write(out, {case: json.loads(encode(result)) for case, result in results.items()})


def main() -> None:
    """Fork for each job, and wait for all."""
    for name in LIBRARIES:
        importlib.import_module(name)
    children = set()
    for job in json.loads(sys.argv[1]):
        pid = os.fork()
        if pid == 0:
            sys.path.insert(0, job.pop("tree"))
            return run(**job)
        children.add(pid)

    def pass_on(sig: int, _: object) -> None:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)

    signal.signal(signal.SIGTERM, pass_on)
    while children:
        pid, status = os.wait()
        children.discard(pid)
        if status:
            pass_on(signal.SIGKILL, None)
            sys.exit(1)
    return None


if __name__ == "__main__":
    main()
