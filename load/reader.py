"""One connection: a raw non-blocking socket, read by a plain callback of a watcher in gevent's loop.

An event wakes no greenlet, and no descriptor is duplicated. `_readable` is the hot path: one read, one clock call,
one lookup of the bytes or one pattern match, one step in the ledger. `_slowly` handles everything else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from socket import SO_ERROR, SOL_SOCKET
from time import time_ns
from typing import Any
from urllib.parse import unquote

from core.endpoint.tls import why_lost
from load.client_state import DISARMED, StreamState
from load.connection_pool import ConnectionPool, ReplicaAddress, begin_connecting, retry_delay_s
from load.endpoint_side import EndpointSide
from load.feed import Decoder, Feed
from load.frames import Event, Parsed
from load.http1 import Http1Error, split_head
from load.stream_times import StreamNotes

READ_BYTES = 65_536
_READ, _WRITE = 1, 2  # libev's EV_READ and EV_WRITE


class StreamReader:
    """Keeps one client connected to a replica until it is closed."""

    __slots__ = (
        "_decoder",
        "_failures",
        "_fd",
        "_feed",
        "_get",
        "_head",
        "_last",
        "_pool",
        "_replica",
        "_retry_ms",
        "_side",
        "_sock",
        "_timer",
        "_track",
        "_wanted_ns",
        "_watcher",
        "arrival_ns",
        "closed",
        "started_ns",
        "state",
    )  # fmt: skip

    def __init__(self, state: StreamState, replica: int, pool: ConnectionPool, user: int = 0) -> None:
        self.state = state
        self.closed = False
        self.started_ns = 0
        self.arrival_ns = 0
        """Arrival time of the last event."""
        self._replica = replica
        self._pool = pool
        self._feed: Feed
        self._get: Callable[[bytes], Parsed | Event | None]
        self._decoder: Decoder | None = None
        self._failures = 0
        self._retry_ms: int | None = None
        self._head = b""
        self._track = DISARMED
        self._last: Parsed | Event | None = None
        self._wanted_ns = 0
        self._side = None if pool.access is None else EndpointSide(self, state, pool, pool.access, user)
        self._fd = -1
        self._sock: Any = None
        self._watcher: Any = None
        self._timer: Any = None

    def start(self) -> None:
        """Connect when it is this reader's turn."""
        self._stop_timer()
        self._wanted_ns = time_ns()
        self._pool.gate.enter(self)

    def connect(self) -> None:
        """Begin to connect. The gate calls this."""
        self._pool.on_turn(self.started_ns - self._wanted_ns)
        address = self._pool.addresses[self._replica]
        if self._side is not None:
            last = self.last_event()
            self._side.begin(address, (last.id if last else "") or self.state.start_id)
        self.dial(address)

    def dial(self, address: ReplicaAddress) -> None:
        """Begin to connect to this address, as part of the current attempt."""
        try:
            self._sock = begin_connecting(address, self._pool.leave_from)
        except OSError as error:
            self.fail(error.strerror or str(error))
            return
        self._fd = self._sock.fileno()
        self.watch(_WRITE, self._writable)

    def watch(self, events: int, callback: Callable[[], None]) -> None:
        """Call back when the socket is ready for these events, and for no others."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
        self._watcher = self._pool.loop.io(self._fd, events)
        self._watcher.start(callback)

    def _writable(self) -> None:
        code = self._sock.getsockopt(SOL_SOCKET, SO_ERROR)
        if code:
            self.fail(os.strerror(code))
            return
        if self._side is not None:
            self._side.connected(self._sock)
            return
        last = self.last_event()
        request = self._pool.transport.request(
            self._pool.addresses[self._replica].origin,
            self.state.topic,
            last_event_id=last.id if last else self.state.start_id,
            token=self._pool.token,
        )
        try:
            self._sock.send(request)  # far smaller than an empty send buffer, so it is sent in full
        except OSError as error:
            self.fail(error.strerror or str(error))
            return
        self._head = b""
        self.watch(_READ, self._on_head)

    def _on_head(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
            now_ns = time_ns()  # after the read: a time before it could precede an event that arrives with the head
            self._head += data
            split = split_head(self._head, complete=not data)
            if split is None:
                return
            head, rest = split
            wire_format = self._pool.transport.wire_format(head)
        except BlockingIOError:
            return
        except (OSError, Http1Error) as error:
            self.fail(getattr(error, "strerror", None) or str(error))
            return
        server = unquote(head.headers.get("fanbench-server", ""))
        self._head = b""
        self.begin_stream(self._pool.feed(wire_format, server, self.state.topic), rest, now_ns)

    def begin_stream(self, feed: Feed, rest: bytes, now_ns: int) -> None:
        """Begin a stream; `rest` is what arrived with the head."""
        self._feed = feed
        self._get = feed.get
        self._decoder = feed.decoder()
        self._failures = 0
        self._settle("")
        self.state.opened(self.started_ns, now_ns)
        self.watch(_READ, self._on_data())
        if rest:
            self._slowly(rest, None, now_ns)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                self._broken(error.strerror or str(error))
            return
        now_ns = time_ns()
        parsed = self._get(data) if self._decoder is None else None
        track = self._track
        if parsed is not None and parsed.series is track.series and parsed.seq == track.next_seq:
            track.next_seq = parsed.next_seq
            parsed.arrived(now_ns)
            self._last = parsed
            self.arrival_ns = now_ns
        else:
            self._slowly(data, parsed, now_ns)

    def _on_data(self) -> Callable[[], None]:
        return self._readable if self._side is None else self._readable_noted

    def _readable_noted(self) -> None:
        """Like `_readable`, at an endpoint: reads over its link and notes gaps."""
        side = self._side
        assert side is not None
        try:
            data = side.link.receive()
        except OSError as error:
            self._broken(why_lost(error))
            return
        if data is None:
            return
        now_ns = time_ns()
        parsed = self._get(data) if self._decoder is None else None
        track = self._track
        if parsed is not None and parsed.series is track.series and parsed.seq == track.next_seq:
            track.next_seq = parsed.next_seq
            parsed.arrived(now_ns)
            self._last = parsed
            self.arrival_ns = now_ns
            side.heard_next(len(data), now_ns)
        else:
            self._slowly(data, parsed, now_ns)

    def _slowly(self, data: bytes, parsed: Parsed | Event | None, now_ns: int) -> None:
        if not data:
            self._end("closed by the server", in_good_order=False)
            return
        track, self._track = self._track, DISARMED
        decoder = self._decoder
        try:
            if decoder is None:
                parsed = parsed or self._feed.parse(data)
            if decoder is not None or parsed is None:
                decoder = self._decoder = decoder or self._feed.decoder()
                parsed = decoder.feed(data)
        except Http1Error as error:
            self._broken(str(error))
            return
        if parsed.retry_ms is not None:
            self._retry_ms = parsed.retry_ms
        if parsed.last is not None:
            if self.state.recovery is not None:
                self.state.recovery.heard(self.arrival_ns, now_ns)
            self._last = parsed
            self.arrival_ns = now_ns
        track = self.state.take(parsed.items, now_ns, track)
        if self._side is not None:
            self._side.heard(parsed.items, len(data), now_ns)
            if parsed.ends:
                self._complete()
                return
        if parsed.reply:
            with suppress(OSError):  # a server that ignores its requested reply reports that itself
                self._sock.send(parsed.reply)
        if decoder is not None:
            if decoder.ended:
                self._end("ended by the server", in_good_order=True)
                return
            if not decoder.between:
                return
            self._decoder = None
        self._track = track

    @property
    def notes(self) -> StreamNotes | None:
        """Notes of gaps and silences, at an endpoint."""
        return self._side.notes if self._side is not None else None

    def last_event(self) -> Event | None:
        """The last event that arrived."""
        return self._last.last if self._last else None

    def disarm(self) -> None:
        """Take the slow path, which checks more, for the next event."""
        self._track = DISARMED

    def pause(self) -> bool:
        """Stop reading if connected, and return whether it was: data stays in the kernel's and the server's buffers."""
        if self.state.connected:
            self._watcher.stop()
        return self.state.connected

    def resume(self) -> None:
        """Continue reading, if the connection is still the same."""
        if self.state.connected and not self._watcher.active:
            self._watcher.start(self._on_data())

    def cut(self, reason: str, back_s: float | None = None) -> None:
        """Drop the connection and reconnect with the usual delay, or after `back_s` seconds."""
        if self.state.connected:
            self._broken(reason, back_s)

    def move(self) -> None:
        """Continue at the next replica from the last id, like a client that changes its network; no-op if not connected."""
        if self.state.connected and not self.closed:
            self._release()
            self.state.closed(time_ns())
            self._replica = (self._replica + 1) % len(self._pool.addresses)
            self._later(0.0)

    def _settle(self, failure: str) -> None:
        """End an attempt: free its place at the gate and report the result."""
        took_ns = time_ns() - self.started_ns
        self._pool.on_connect(took_ns, failure)
        if failure:
            self._pool.gate.leave(self)
        else:
            self._pool.gate.answered(self, took_ns)

    def fail(self, reason: str, wait_s: float | None = None) -> None:
        """End a failed attempt to connect; retry after the usual delay, or after `wait_s` seconds."""
        self._release()
        self._pool.counters.refused[reason] += 1
        self._settle(reason)
        self.state.rest(False)
        self._failures += 1
        self._replica = (self._replica + 1) % len(self._pool.addresses)
        self._later(wait_s)

    def stop(self, reason: str) -> None:
        """Stop for good: the server says that clients must not reconnect."""
        self._release()
        self._pool.counters.refused[reason] += 1
        self._settle(reason)
        self.state.rest(True)

    def hang_up(self) -> None:
        """Close the socket; the attempt continues at another address."""
        self._release()

    def _end(self, reason: str, *, in_good_order: bool) -> None:
        """Handle the end of a stream: a complete answer, or a break."""
        why = reason if self._side is None else self._side.why_broken(reason, in_good_order=in_good_order)
        if why:
            self._broken(why)
        else:
            self._complete()

    def _complete(self) -> None:
        """Handle a complete answer: request the stream again after a pause."""
        assert self._side is not None
        now_ns = time_ns()
        self._side.notes.completed(now_ns)
        self._release()
        self.state.closed(now_ns)
        self.state.rest(True)
        self._later(self._side.pause_s)

    def _broken(self, reason: str, back_s: float | None = None) -> None:
        self._release()
        self.state.closed(time_ns())
        self._pool.counters.disconnects[reason] += 1
        self._pool.on_break(reason)
        self._later(back_s)

    def _later(self, delay_s: float | None = None) -> None:
        if not self.closed:
            if delay_s is None:
                delay_s = retry_delay_s(self._retry_ms, self._failures, self._pool.rng)
            self._timer = self._pool.loop.timer(delay_s)
            self._timer.start(self.start)

    def _release(self) -> None:
        self._track = DISARMED
        self._decoder = None
        if self._side is not None:
            self._side.notes.closed(time_ns())
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def close(self) -> None:
        """Close the connection for good."""
        self.closed = True
        self._stop_timer()
        self._release()
        self._pool.gate.leave(self)
        if self.state.connected:
            self.state.closed(time_ns())
        self.state.rest(False)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None
