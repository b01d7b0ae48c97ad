"""The live clients of a topic whose bytes are framed alike, and the one loop, or one system call, that writes to all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from server.client import Client

LEAST = 16
"""Clients from which on a batch costs less than a loop of writes."""

_log = logging.getLogger("fanbench.server")


class Sender(Protocol):
    """Sends to many sockets at once: server.ring.Ring."""

    def send(self, descriptors: npt.NDArray[np.int32], data: bytes) -> list[tuple[int, int]]:
        """Which did not take all: place, and bytes taken or a negated errno. OSError if it can send no more."""


class Audience:
    """Who listens, in no particular order.

    With a sender, a client whose connection holds nothing is sent to past its transport; what its socket does not take
    goes to the transport, which holds it, finds a slow client by it, and has all that comes until it is empty again. So
    bytes never change places, whoever else writes to the transport, and every error is found where it always is.
    """

    __slots__ = ("_clients", "_descriptors", "_held", "_places", "_sender", "_writes")

    def __init__(self, sender: Sender | None) -> None:
        self._sender = sender
        self._writes: dict[Client, Callable[[bytes], None]] = {}
        """Clients that are written to one by one."""
        self._places: dict[Client, int] = {}
        """Where the others are in the lists below, which have no holes."""
        self._clients: list[Client] = []
        self._held: list[Callable[[], int]] = []
        self._descriptors = np.empty(0, dtype=np.int32)

    def __len__(self) -> int:
        return len(self._writes) + len(self._clients)

    def add(self, client: Client) -> None:
        """Write to this client from now on."""
        if self._sender is None or client.sink.descriptor < 0:
            self._writes[client] = client.write
            return
        place = self._places[client] = len(self._clients)
        self._clients.append(client)
        self._held.append(client.sink.held_bytes)
        if place == len(self._descriptors):
            self._descriptors = np.resize(self._descriptors, max(LEAST, 2 * place))
        self._descriptors[place] = client.sink.descriptor

    def remove(self, client: Client) -> None:
        """Write to it no more; no error if it was not here."""
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

    def write(self, data: bytes) -> None:
        """Send these bytes to all, or have each connection hold what it cannot send."""
        for write in self._writes.values():
            write(data)
        if self._sender is not None and len(self._clients) >= LEAST:
            self._send(self._sender, data)
        else:
            for client in self._clients:
                client.write(data)

    def _send(self, sender: Sender, data: bytes) -> None:
        descriptors = self._descriptors[: len(self._clients)]
        places: npt.NDArray[np.intp] | None = None
        held = [ask() for ask in self._held]
        if any(held):
            for client, count in zip(self._clients, held, strict=True):
                if count:
                    client.write(data)
            places = np.flatnonzero(np.array(held) == 0)
            descriptors = descriptors[places]
        try:
            short = sender.send(descriptors, data)
        except OSError as error:
            self._give_up(error)
            return
        for place, taken in short:
            client = self._clients[place if places is None else places[place]]
            client.write(data[max(0, taken) :])

    def _give_up(self, error: OSError) -> None:
        """A client that may have got half an event must not get the next one: it connects again, and resumes."""
        _log.warning("fan-out goes on without io_uring, and its clients connect again: %s", error)
        clients, self._clients, self._held, self._sender = self._clients, [], [], None
        self._places.clear()
        for client in clients:
            client.sink.abort()
