"""`SSEUser`, on which other people's locustfiles build, with a function that is called for each event.

FANBENCH_STATUS names the file in which it counts, five times a second, the way load/sse.py does.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import gevent
from locust import events

from fanbench_locust import SSEEvent, SSEUser, UserStream

STATUS = Path(os.environ["FANBENCH_STATUS"])
streams: list[UserStream] = []


class EventLooker(SSEUser):
    """One stream and its last event."""

    last = ""

    def on_start(self) -> None:
        """Open the stream."""
        streams.append(self.listen("/sse"))

    def on_event(self, event: SSEEvent, _: UserStream) -> None:
        """The minimum of a user's own code: read the event."""
        self.last = event.data


@events.init.add_listener  # type: ignore[untyped-decorator]
def _start(**_: Any) -> None:
    def tell() -> None:
        while True:
            gevent.sleep(0.2)
            part = STATUS.with_suffix(".part")
            clients = sum(stream.connected for stream in streams)
            part.write_text(json.dumps({"clients": clients, "deliveries": sum(stream.events for stream in streams)}))
            part.replace(STATUS)

    gevent.spawn(tell)
