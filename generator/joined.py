"""The conductor of generators that run elsewhere: waits until as many as wanted have joined, and gives each a share.

docs/decisions/0022-generators-elsewhere.md describes how. The protocol has no password.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from core.clock import now_ns
from core.contracts.codec import DocumentError, decode, encode, write
from core.contracts.generator_status import GeneratorStatus
from core.contracts.load_status import WorkerUsage
from core.errors import UsageError
from core.stamp import new_stream
from generator.conductor import Conductor, MemberNews, Order, ShareHolder, readable, signals_as_bytes
from generator.merge import write_whole
from generator.messages import LONGEST_LINE_BYTES, SILENT_S, ConductorTells, GeneratorTask, MemberTells
from generator.session import read_rules
from generator.settings import GeneratorSettings, parse_address

AHEAD_NS = 500_000_000
"""The start is announced this long before, so that generators on other hosts know it in time."""
GREETING_S = 5.0
"""A stranger that connects and does not join is disconnected."""
GREETING_BYTES = 65_536
"""A stranger that sends a longer line is disconnected, too."""
_SEND_S = 10.0


class MemberConnection:
    """The connection to a generator that has joined, or may."""

    def __init__(self, sock: socket.socket, address: str) -> None:
        sock.settimeout(_SEND_S)
        self.usage: WorkerUsage | None = None
        self.connected = False
        """Whether it has reached the broker."""
        self.heard_s = time.monotonic()
        self._sock = sock
        self._address = address
        self._rest = b""

    @property
    def name(self) -> str:
        """Its host and process, and the address from which it has joined."""
        return f"{self.usage.name} at {self._address}" if self.usage is not None else self._address

    def fileno(self) -> int:
        return self._sock.fileno()

    def tell(self, told: ConductorTells) -> None:
        """Send a document; raises OSError if it is gone."""
        self._sock.sendall(encode(told).encode() + b"\n")

    def send(self, order: Order) -> None:
        self.tell(ConductorTells(what=order.do, starts_ns=order.starts_ns, now_ns=now_ns()))

    def news(self) -> list[MemberNews]:
        data = self._sock.recv(1 << 20)
        if not data:
            raise EOFError
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > (GREETING_BYTES if self.usage is None else LONGEST_LINE_BYTES):
            raise DocumentError(f"the generator {self.name}: a line without end; is it one of fanbench's?")
        self.heard_s = time.monotonic()
        told = [decode(MemberTells, line, f"the generator {self.name}") for line in lines]
        self.usage = next((one.usage for one in reversed(told) if one.usage is not None), self.usage)
        self.connected = self.connected or any(one.what == "connected" for one in told)
        return [MemberNews(one.what, one.text, one.transient) for one in told if one.what != "alive"]

    def silent_s(self) -> float:
        return max(0.0, time.monotonic() - self.heard_s - SILENT_S)

    def close(self) -> None:
        self._sock.close()


class _Waiting:
    """Until enough have joined: those that have, and whoever else is connected."""

    def __init__(self, settings: GeneratorSettings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._strangers: list[MemberConnection] = []
        self.joined: list[MemberConnection] = []
        self.wanted = False
        """Whether the start has been ordered already."""

    def gather(self, signals: socket.socket) -> bool:
        """Whether all have come; not if a signal called it off. SIGUSR1 is remembered until they are there."""
        while len(self.joined) < self._settings.processes:
            connections = [*self._strangers, *self.joined]
            ready = readable([signals.fileno(), self._listener.fileno(), *(one.fileno() for one in connections)])
            if signals.fileno() in ready:
                numbers = set(signals.recv(64))
                self.wanted = signal.SIGUSR1 in numbers or self.wanted
                if numbers - {signal.SIGUSR1}:
                    return False
            for connection in [one for one in connections if one.fileno() in ready]:
                self._hear(connection)
            if self._listener.fileno() in ready:
                with contextlib.suppress(OSError):  # it is gone again
                    sock, address = self._listener.accept()
                    self._strangers.append(MemberConnection(sock, f"{address[0]}:{address[1]}"))
            now_s = time.monotonic()
            for one in [one for one in self._strangers if one.heard_s < now_s - GREETING_S]:
                self._drop(one)
            write_status(self._settings, self.joined)
        return True

    def stop_listening(self) -> None:
        """Nobody else can join; whoever tries comes back for the next run."""
        self._listener.close()
        for one in list(self._strangers):
            self._drop(one)

    def _hear(self, connection: MemberConnection) -> None:
        try:
            news = connection.news()
        except (EOFError, OSError, DocumentError):
            self._drop(connection)
            return
        for one in news:
            if one.what != "joined" or connection in self.joined:
                continue
            if one.text != self._settings.run_name:
                reason = f"this run has the name {self._settings.run_name!r}, and the generator has {one.text!r}"
                with contextlib.suppress(OSError):
                    connection.tell(ConductorTells(what="rejected", reason=reason))
                self._drop(connection)
                return
            if len(self.joined) == self._settings.processes:
                self._drop(connection)  # it comes back for the next run
                return
            self._strangers.remove(connection)
            self.joined.append(connection)

    def _drop(self, connection: MemberConnection) -> None:
        connection.close()
        for known in (self._strangers, self.joined):
            if connection in known:
                known.remove(connection)

    def close(self) -> None:
        """Disconnect everyone."""
        self._listener.close()
        for one in [*self._strangers, *self.joined]:
            self._drop(one)


def run_joined(settings: GeneratorSettings) -> None:
    """Wait for the generators, publish through them until the schedule ends, or SIGTERM; write the one report.

    Raises:
        UsageError: a setting cannot be used, or the address is taken. FanbenchError: a generator could not go on, with its words.
        TransientError: a generator was lost.
    """
    require_passed_on(settings)
    settings.require_topics()
    with signals_as_bytes() as signals, _listening(settings) as waiting:
        if not waiting.gather(signals):
            return
        waiting.stop_listening()
        members = _with_tasks(settings, waiting.joined)
        told = partial(write_status, settings, waiting.joined)
        reports = Conductor(settings, members, AHEAD_NS, wanted=waiting.wanted).conduct(signals, told)
    if len(reports) == len(members):
        write_whole(settings, reports)


def require_passed_on(settings: GeneratorSettings) -> None:
    """Raise UsageError if a setting concerns this host, and would not reach those that join."""
    for name in ("publish", "broker_password_file", "share", "starts_at"):
        if getattr(settings, name):
            raise UsageError(
                f"FANBENCH_{name.upper()} and FANBENCH_JOIN_AT: it is not passed on to the generators that join; leave one of them out"
            )


def write_status(settings: GeneratorSettings, joined: Sequence[MemberConnection]) -> None:
    """Say who is there, if anybody wants to know."""
    if settings.status is not None:
        usage = tuple(one.usage for one in joined if one.usage is not None)
        connected = sum(one.connected for one in joined)
        write(GeneratorStatus(joined=len(joined), connected=connected, members=usage), settings.status)


@contextmanager
def _listening(settings: GeneratorSettings) -> Iterator[_Waiting]:
    """Nobody has joined yet; all are disconnected at the end."""
    waiting = _Waiting(settings, _listen(settings.join_at))
    try:
        yield waiting
    finally:
        waiting.close()


def _listen(address: str) -> socket.socket:
    host, port = parse_address(address)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
        listener.settimeout(1.0)
    except OSError as error:
        raise UsageError(
            f"FANBENCH_JOIN_AT={address}: cannot listen there: {error.strerror}; give an address of this host and a free port"
        ) from error
    return listener


def _with_tasks(settings: GeneratorSettings, joined: Sequence[MemberConnection]) -> list[ShareHolder]:
    shares = settings.its_share().split(settings.processes)
    rules = read_rules(settings.sessions) if settings.sessions else None
    stream, task = new_stream(), GeneratorTask.of(settings)
    members = []
    for share, connection in zip(shares, joined, strict=True):
        told = ConductorTells(what="task", task=task, share=str(share), stream=stream, rules=rules)
        with contextlib.suppress(OSError):  # one that is gone is heard of next
            connection.tell(told)
        members.append(ShareHolder(share, connection, partial(_how_ended, connection, str(share))))
    return members


def _how_ended(connection: MemberConnection, share: str) -> str:
    if connection.silent_s():
        return f"the generator {connection.name} (share {share}) has not been heard of for {SILENT_S:g} s"
    return f"the generator {connection.name} (share {share}) ended, or its connection was lost,"
