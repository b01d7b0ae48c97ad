"""Requests to NATS and their answers: if the server forbids one, nats-py's own request waits for its whole deadline."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, NoRespondersError

from brokers.waiting import uncancelled

CALM_BYTES = 1_000_000
"""Half of the bytes that nats-py buffers before a publish waits."""
IN_FLIGHT = 1_000
"""The largest number of unacknowledged publishes: a server drops messages that arrive faster than it stores them."""


async def publish(client: Any, subject: str, payload: bytes, reply: str = "") -> None:
    """Pass a message to nats-py.

    If it has to wait for the socket, it runs in its own task, because nats-py swallows a cancellation.
    """
    if client.pending_data_size < CALM_BYTES:
        await client.publish(subject, payload, reply=reply)
    else:
        await uncancelled(client.publish(subject, payload, reply=reply))


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


def pub(subject: str, payload: bytes) -> bytes:
    """Build a message in the protocol's form."""
    return b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(payload), payload)


class Requests:
    """The requests of one connection; answers come to one inbox, by number."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._inbox = ""
        self._numbers = itertools.count()
        self._waiting: dict[str, tuple[str, asyncio.Future[Msg]]] = {}
        self._broken: Exception | None = None
        self.room = asyncio.Semaphore(IN_FLIGHT)

    def begin(self) -> str:
        """The subject for answers; its subscriber passes them to `take`."""
        self._inbox = f"{self._client.new_inbox()}."
        return f"{self._inbox}*"

    def take(self, message: Msg) -> None:
        """Take an answer; drop it if nobody waits for it any more."""
        waiting = self._waiting.get(message.subject[len(self._inbox) :])
        if waiting is not None and not waiting[1].done():
            waiting[1].set_result(message)

    async def ask(self, subject: str, payload: bytes, timeout_s: float) -> Msg:
        """Publish, and return the answer.

        Raises:
            NoRespondersError: nobody serves the subject. TimeoutError: no answer. Error: forbidden, or the connection
                was lost. OSError: the socket's error.
        """
        if self._broken is not None:
            raise self._broken
        number = str(next(self._numbers))
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (subject, answer)
        try:
            async with asyncio.timeout(timeout_s):
                await publish(self._client, subject, payload, self._inbox + number)
                message = await answer
        finally:
            del self._waiting[number]
            if answer.done() and not answer.cancelled():
                answer.exception()  # the answer may arrive after the caller gave up
        if not message.data and message.headers and message.headers.get("Status") == "503":
            raise NoRespondersError
        return message

    def refuse(self, what: str, subject: str, error: Exception) -> None:
        """The server forbids a publish or a subscription, perhaps the one for our answers."""
        if what == "subscription" and self._inbox and subject.startswith(self._inbox):
            self._fail(error)
            return
        for asked, answer in self._waiting.values():
            if asked == subject and what == "publish" and not answer.done():
                answer.set_exception(error)

    def close(self) -> None:
        """The connection is lost: fail all waiting callers."""
        self._fail(ConnectionClosedError())

    def _fail(self, error: Exception) -> None:
        self._broken = self._broken or error
        for _, answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(error)
