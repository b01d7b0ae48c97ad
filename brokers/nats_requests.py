"""Requests to NATS and their answers, without a task or a timer for each.

nats-py's own request waits for its whole deadline if the server forbids it.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from nats.errors import ConnectionClosedError, MaxPayloadError, NoRespondersError

from brokers.waiting import ends, uncancelled

CALM_BYTES = 1_000_000
"""Half of the bytes that nats-py buffers before a publish waits."""
IN_FLIGHT = 1_000
"""The largest number of unanswered requests: a server drops messages that arrive faster than it stores them."""
_NO_RESPONDERS = "503"

Answered = Callable[[bytes | Exception], None]
"""Takes the answer to a request, or why there is none."""


async def publish(client: Any, subject: str, payload: bytes) -> None:
    """Pass a message to nats-py.

    If it has to wait for the socket, it runs in its own task, because nats-py swallows a cancellation.
    """
    if client.pending_data_size < CALM_BYTES:
        await client.publish(subject, payload)
    else:
        await uncancelled(client.publish(subject, payload))


def takes_at_once(client: Any, payload: bytes) -> bool:
    """Whether nats-py would take this message without waiting, and without an error."""
    fits: bool = len(payload) <= client.max_payload
    return fits and bool(client.is_connected) and bool(client.pending_data_size < CALM_BYTES)


def post(client: Any, commands: Sequence[bytes]) -> None:
    """Write what `pub` built: directly, or through nats-py's task if earlier bytes still wait to be written.

    It is lost with a connection that was just lost: nats-py learns of that a turn later, and uvloop raises RuntimeError.
    """
    data = b"".join(commands)
    writer = getattr(client._transport, "_io_writer", None)  # a WebSocket has none
    if writer is not None and writer.is_closing():
        return
    if writer is not None and not client._pending and not writer.transport.get_write_buffer_size():
        writer.write(data)
        return
    client._pending.append(data)
    client._pending_data_size += len(data)
    if client._flush_queue.empty():
        client._flush_queue.put_nowait(asyncio.get_running_loop().create_future())


def pub(subject: str, payload: bytes, reply: bytes = b"") -> bytes:
    """Build a message in the protocol's form. A reply subject ends in a blank."""
    return b"PUB %b %b%d\r\n%b\r\n" % (subject.encode(), reply, len(payload), payload)


class Requests:
    """The requests of one connection, sent in the order of the calls; answers come to one inbox, by number."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._inbox = b""
        self._numbers = itertools.count()
        self._begun: deque[tuple[str, bytes, float, Answered]] = deque()
        """Not sent yet: subject, payload, how long to wait for the answer (s), and what takes it."""
        self._waiting: dict[bytes, tuple[str, float, Answered]] = {}
        """By number: subject, the event loop's time by which the answer is due, and what takes it."""
        self._broken: Exception | None = None
        self._due_s = math.inf
        self._timer: asyncio.TimerHandle | None = None
        """Set for an instant at which an answer is due, and for none after the first."""
        self._flushes_soon = False

    def new_inbox(self) -> str:
        """Return the subject for answers; its subscriber passes them to `take`, and messages without one to `told`."""
        self._inbox = f"{self._client.new_inbox()}.".encode()
        return f"{self._inbox.decode()}*"

    def begin(self, subject: str, payload: bytes, timeout_s: float, answered: Answered) -> None:
        """Send a request with the next `flush`, or when earlier ones are answered if too many are in flight.

        `answered` is called once, perhaps before this returns. Instead of the answer it may get a
        NoRespondersError: nobody serves the subject. TimeoutError: no answer within `timeout_s` seconds after it was
        sent. Error: forbidden, too large, or the connection was lost.
        """
        if self._broken is not None:
            answered(self._broken)
        elif len(payload) > self._client.max_payload:
            answered(MaxPayloadError())
        else:
            self._begun.append((subject, payload, timeout_s, answered))

    def flush_soon(self) -> None:
        """Send the begun requests at the end of this turn of the event loop."""
        if not self._flushes_soon:
            self._flushes_soon = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Send the begun requests together, as far as they may be in flight."""
        self._flushes_soon = False
        client, begun, waiting = self._client, self._begun, self._waiting
        if not begun:
            return
        if not client.is_connected:  # it never reconnects by itself
            self.close()
            return
        now_s, unsent_bytes = asyncio.get_running_loop().time(), client.pending_data_size
        commands = []
        # One may always be sent: its end, an answer or the deadline, lets the next ones go.
        while begun and (not waiting or (len(waiting) < IN_FLIGHT and unsent_bytes < CALM_BYTES)):
            subject, payload, timeout_s, answered = begun.popleft()
            number, due_s = b"%d" % next(self._numbers), now_s + timeout_s
            waiting[number] = subject, due_s, answered
            unsent_bytes += len(payload)
            commands.append(pub(subject, payload, b"%b%b " % (self._inbox, number)))
            if due_s < self._due_s:
                self._set_timer(due_s)
        if commands:
            post(client, commands)

    def take(self, subject: bytes, _reply: bytes, payload: bytes) -> None:
        """Take an answer; drop it if nobody waits for it any more."""
        self._end(subject, payload)

    def told(self, subject: bytes, status: str) -> None:
        """Take a status that the server sends instead of an answer."""
        self._end(subject, NoRespondersError() if status == _NO_RESPONDERS else b"")

    def _end(self, subject: bytes, answer: bytes | Exception) -> None:
        waiting = self._waiting.pop(subject[len(self._inbox) :], None)
        if waiting is not None:
            waiting[2](answer)
        if self._begun:
            self.flush_soon()

    async def ask(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        """Send a request, and return the answer.

        Raises:
            NoRespondersError, TimeoutError, Error: see `begin`.
        """
        ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        self.begin(subject, payload, timeout_s, ends(ended))
        self.flush_soon()
        return await ended

    def _set_timer(self, due_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due_s = due_s
        self._timer = asyncio.get_running_loop().call_at(due_s, self._give_up_late)

    def _give_up_late(self) -> None:
        """End the requests whose answer is overdue, and look again when the next one is due."""
        self._timer, self._due_s = None, math.inf
        now_s = asyncio.get_running_loop().time()
        self._fail(TimeoutError(), lambda _, due_s: due_s <= now_s)
        if self._waiting:
            self._set_timer(min(due_s for _, due_s, _ in self._waiting.values()))
        self.flush_soon()

    def refuse(self, what: str, subject: str, error: Exception) -> None:
        """The server forbids a publish or a subscription, perhaps the one for our answers."""
        if what == "publish":
            self._fail(error, lambda asked, _: asked == subject)
            self.flush_soon()
        elif self._inbox and subject.encode().startswith(self._inbox):
            self._break(error)

    def close(self) -> None:
        """The connection is lost: fail all requests."""
        self._break(ConnectionClosedError())

    def _fail(self, error: Exception, concerns: Callable[[str, float], bool]) -> None:
        """End those requests in flight that an error concerns, by subject and due time."""
        numbers = [number for number, (subject, due_s, _) in self._waiting.items() if concerns(subject, due_s)]
        for _, _, answered in [self._waiting.pop(number) for number in numbers]:
            answered(error)

    def _break(self, error: Exception) -> None:
        self._broken = self._broken or error
        begun, self._begun = self._begun, deque()
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._due_s = None, math.inf
        self._fail(error, lambda *_: True)
        for _, _, _, answered in begun:
            answered(error)
