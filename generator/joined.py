"""The conductor of generators that run elsewhere: waits until as many as wanted have joined, and gives each a share.

docs/decisions/0022-generators-elsewhere.md describes the protocol and its protection.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from core.contracts.codec import DocumentError, write
from core.contracts.generator_status import GeneratorStatus
from core.errors import UsageError
from core.stamp import new_stream
from generator.conductor import Conductor, ShareHolder, readable, signals_as_bytes
from generator.join_link import MemberConnection
from generator.merge import write_whole
from generator.messages import SILENT_S, ConductorTells, GeneratorTask
from generator.session import read_rules
from generator.settings import GeneratorSettings, parse_address

AHEAD_NS = 500_000_000
"""The start is announced this long before, so that generators on other hosts know it in time."""
GREETING_S = 5.0
"""A stranger that connects and does not join is disconnected."""
_TLS_NEEDS = (
    "; generators that join must use TLS: set their FANBENCH_JOIN_CA_FILE to the authority of FANBENCH_JOIN_CERT"
)

_log = logging.getLogger("fanbench.generator")


class _Waiting:
    """Until enough have joined: those that have, and whoever else is connected."""

    def __init__(self, settings: GeneratorSettings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._tls = settings.conductor_tls()
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
                    self._accept()
            now_s = time.monotonic()
            for one in [one for one in self._strangers if one.since_s < now_s - GREETING_S]:
                needs = _TLS_NEEDS if self._tls is not None else ""
                _log.warning(
                    "closed the connection from %s: it did not join within %g s%s", one.name, GREETING_S, needs
                )
                self._drop(one)
            write_status(self._settings, self.joined)
        return True

    def stop_listening(self) -> None:
        """Nobody else can join; whoever tries comes back for the next run."""
        self._listener.close()
        for one in list(self._strangers):
            self._drop(one)

    def _accept(self) -> None:
        sock, address = self._listener.accept()
        stranger = MemberConnection(sock, f"{address[0]}:{address[1]}", self._tls)
        self._strangers.append(stranger)
        stranger.greet()

    def _hear(self, connection: MemberConnection) -> None:
        try:
            connection.news()
        except (EOFError, OSError, DocumentError) as error:
            if isinstance(error, ssl.SSLError):
                _log.warning("refused the connection from %s: %s%s", connection.name, error, _TLS_NEEDS)
            self._drop(connection)
            return
        if connection.wish is None or connection in self.joined:
            return
        if len(self.joined) == self._settings.processes:
            self._drop(connection)  # it comes back for the next run
        elif reason := connection.answer(self._settings.secret, self._settings.run_name):
            _log.warning("rejected the generator %s: %s", connection.name, reason)
            self._drop(connection)
        else:
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
        UsageError: a setting cannot be used, or the address is taken or open to strangers. FanbenchError: a generator could not go on, with its words.
        TransientError: a generator was lost.
    """
    require_passed_on(settings)
    settings.require_guarded(f"FANBENCH_JOIN_AT={settings.join_at}", parse_address(settings.join_at)[0])
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
