"""`event: heartbeat` for the clients that ask for it by `?heartbeat=SECONDS`.

A page can then distinguish a quiet stream from a dead one. The ordinary heartbeat is a comment, which keeps the
connection open but does not reach a page's code.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from core.clock import now_ns
from core.sse import encode_event
from server.client import Client, State
from server.frame import Wire, chunk, text_frame

LONGEST_S = 300


class NamedHeartbeats:
    """Sends heartbeats at the requested intervals, and to all clients when the broker disconnects or returns."""

    def __init__(self, server: str, broker: str, connected: Callable[[], bool]) -> None:
        self._server = server
        self._broker = broker
        self._connected = connected
        self._was_connected = connected()
        self._turn = 0
        self._by_interval: dict[int, list[dict[Client, None]]] = {}
        """For an interval of n seconds there are n groups, and each tick serves one."""

    def add(self, client: Client, interval_s: int) -> None:
        """Send this client a heartbeat now and regularly."""
        groups = self._by_interval.setdefault(interval_s, [{} for _ in range(interval_s)])
        groups[self._turn % interval_s][client] = None
        client.write(self._make(interval_s, client.writer.wire))

    def tick(self) -> None:
        """Called once a second."""
        self._turn += 1
        changed = self._connected() is not self._was_connected
        self._was_connected = self._connected()
        for interval_s, groups in list(self._by_interval.items()):
            for group in groups if changed else [groups[self._turn % interval_s]]:
                self._beat(group, interval_s)
            if not any(groups):
                del self._by_interval[interval_s]

    def _beat(self, group: dict[Client, None], interval_s: int) -> None:
        frames: dict[Wire, bytes] = {}
        for client in list(group):
            if client.state is State.GONE:
                del group[client]
            elif client.state is State.LIVE:
                wire = client.writer.wire
                if wire not in frames:
                    frames[wire] = self._make(interval_s, wire)
                client.write(frames[wire])

    def _make(self, interval_s: int, wire: Wire) -> bytes:
        """`event: heartbeat`; it does not change the client's last event id."""
        fields = {
            "server": self._server,
            "sent_ns": now_ns(),
            "heartbeat_s": interval_s,
            "broker": self._broker,
            "broker_connected": self._connected(),
        }
        if wire is Wire.WEBSOCKET:
            return text_frame(orjson.dumps({"event": "heartbeat"} | fields))
        block = encode_event(orjson.dumps(fields).decode(), event="heartbeat")
        return chunk(block) if wire is Wire.CHUNKED else block
