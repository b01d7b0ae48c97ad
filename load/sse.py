"""The Locust suite for SSE: `locust -f load/sse.py --headless -u 200 -r 100 -t 20s --host http://127.0.0.1:8000`.

One user is one SSE connection. docs/load.md describes options and results.
"""

from __future__ import annotations

import sys
from typing import Any

import locust.runners
from locust import User, constant, events, task
from locust.exception import StopUser
from locust.stats import bucket_response_time

from core.errors import FanbenchError, UsageError
from load.suite import Suite, add_options

locust.runners.WORKER_REPORT_INTERVAL = 0.5  # 3 s would make totals and web UI lag behind the clients
FOREVER_S = 10**8

events.init_command_line_parser.add_listener(add_options)  # type: ignore[no-untyped-call]
_suite: Suite


@events.init.add_listener  # type: ignore[untyped-decorator]
def _start(environment: Any, **_: Any) -> None:
    global _suite
    try:
        _suite = Suite(environment, bucket_response_time)
    except FanbenchError as error:
        print(f"fanbench: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)


class SSEClient(User):
    """One SSE connection for as long as the user lives."""

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
