"""Joins the suite to Locust for a locustfile of one transport; the only module that imports Locust."""

from __future__ import annotations

import sys
from typing import Any

import locust.runners
from locust import User, constant, events, task
from locust.exception import StopUser
from locust.stats import bucket_response_time

from core.errors import FanbenchError, exit_code
from load.suite import Suite, add_options
from load.transport import Transport

locust.runners.WORKER_REPORT_INTERVAL = 0.5  # 3 s would make totals and web UI lag behind the clients
FOREVER_S = 10**8

_suite: Suite


def measure(transport: Transport) -> None:
    """Measure what this locustfile's clients get over `transport`."""

    def start(environment: Any, **_: Any) -> None:
        global _suite
        try:
            _suite = Suite(environment, bucket_response_time, transport)
        except FanbenchError as error:
            print(f"fanbench: {error}", file=sys.stderr)
            sys.exit(exit_code(error))

    events.init_command_line_parser.add_listener(add_options)  # type: ignore[no-untyped-call]
    events.init.add_listener(start)  # type: ignore[no-untyped-call]


class StreamUser(User):
    """One connection for as long as the user lives."""

    abstract = True
    wait_time = constant(FOREVER_S)

    def on_start(self) -> None:
        """Join the session: the reader connects and reads by itself, this greenlet sleeps."""
        self._session = _suite.session
        if self._session is None:
            raise StopUser
        self._client = self._session.join()

    def on_stop(self) -> None:
        """Leave."""
        if self._session is not None:
            self._session.leave(self._client)

    @task
    def stay(self) -> None:
        """Nothing to do: Locust wants a task, and waits after it."""
