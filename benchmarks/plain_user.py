"""The obvious first version: a Locust user that reads its stream with `requests` and reports each event as a request.

FANBENCH_STATUS names the file in which it counts, five times a second, the way load/sse.py does.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import gevent
import requests
from locust import User, events, task

STATUS = Path(os.environ["FANBENCH_STATUS"])
connected = 0


class PlainUser(User):
    """One stream, line by line."""

    @task
    def read(self) -> None:
        """Read until the stream ends."""
        global connected
        with requests.get(f"{self.host}/sse", stream=True, timeout=60) as response:
            connected += 1
            for line in response.iter_lines():
                if line.startswith(b"data:"):
                    latency_ms = (time.time_ns() - json.loads(line[5:])["due_ns"]) / 1e6
                    self.environment.events.request.fire(
                        request_type="SSE",
                        name="event",
                        response_time=latency_ms,
                        response_length=len(line),
                        exception=None,
                    )


@events.init.add_listener  # type: ignore[untyped-decorator]
def _start(environment: Any, **_: Any) -> None:
    def tell() -> None:
        while True:
            gevent.sleep(0.2)
            part = STATUS.with_suffix(".part")
            part.write_text(json.dumps({"clients": connected, "deliveries": environment.stats.total.num_requests}))
            part.replace(STATUS)

    gevent.spawn(tell)
