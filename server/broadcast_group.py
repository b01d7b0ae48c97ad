"""The live clients of a topic with the same framing, and the loop or system call that writes to all of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from server.client import Client

LEAST = 16
"""Number of clients from which a batch is cheaper than a loop of writes."""

_log = logging.getLogger("fanbench.server")


class Sender(Protocol):
    """Sends to many sockets at once: server.io_uring.IoUring."""

    usable: bool
    """False once it has failed."""

    def send(self, descriptors: npt.NDArray[np.int32], data: bytes) -> list[tuple[int, int]]:
        """Return the sockets that did not take everything: index, and bytes taken or a negated errno.

        OSError if it cannot send any more.
        """


class BroadcastGroup:
    """The listeners, in no particular order.

    With a sender, bytes for a client with an empty transport bypass the transport. What the socket does not take goes
    to the transport, which detects a slow client; until it is empty again, everything goes through it. So bytes keep
    their order, whoever else writes to the transport, and every error appears in its usual place.
    """

    __slots__ = ("_clients", "_descriptors", "_held", "_places", "_sender", "_writes")

    def __init__(self, sender: Sender | None) -> None:
        self._sender = sender
        self._writes: dict[Client, Callable[[bytes], None]] = {}
        """Clients that are written to one by one."""
        self._places: dict[Client, int] = {}
        """Positions of the other clients in the dense lists below."""
        self._clients: list[Client] = []
        self._held: list[Callable[[], int]] = []
        self._descriptors = np.empty(0, dtype=np.int32)

    def __len__(self) -> int:
        return len(self._writes) + len(self._clients)

    def add(self, client: Client) -> None:
        """Add a client."""
        if self._sender is None or client.writer.descriptor < 0:
            self._writes[client] = client.write
            return
        place = self._places[client] = len(self._clients)
        self._clients.append(client)
        self._held.append(client.writer.held_bytes)
        if place == len(self._descriptors):
            self._descriptors = np.resize(self._descriptors, max(LEAST, 2 * place))
        self._descriptors[place] = client.writer.descriptor

    def remove(self, client: Client) -> None:
        """Remove a client; a no-op if it is not here."""
        self._writes.pop(client, None)
        place = self._places.pop(client, None)
        if place is None:
            return
        last, held = self._clients.pop(), self._held.pop()
        if last is not client:
            self._clients[place] = last
            self._held[place] = held
            self._places[last] = place
            self._descriptors[place] = self._descriptors[len(self._clients)]

    def write(self, data: bytes) -> Sequence[Client]:
        """Send these bytes to all; each connection buffers what it cannot send.

        If the sender failed, returns the clients that may have received a part: nothing more may be sent to them.
        """
        for write in self._writes.values():
            write(data)
        if self._sender is not None and self._sender.usable and len(self._clients) >= LEAST:
            return self._send(self._sender, data)
        for client in self._clients:
            client.write(data)
        return ()

    def _send(self, sender: Sender, data: bytes) -> Sequence[Client]:
        descriptors, idle = self._descriptors[: len(self._clients)], self._clients
        held = [ask() for ask in self._held]
        if any(held):
            for client, count in zip(self._clients, held, strict=True):
                if count:
                    client.write(data)
            descriptors = descriptors[np.flatnonzero(np.array(held) == 0)]
            idle = [client for client, count in zip(self._clients, held, strict=True) if not count]
        try:
            short = sender.send(descriptors, data)
        except OSError as error:
            _log.warning("io_uring failed; from now on each client gets a separate send: %s", error)
            return list(idle)
        for place, taken in short:
            idle[place].write(data[max(0, taken) :])
        return ()
