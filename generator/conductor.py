"""Starts and ends the processes of one schedule together, and collects their reports, wherever they run."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Literal, NamedTuple, Protocol

from core.clock import now_ns
from core.contracts import codec
from core.contracts.generator_report import GeneratorReport
from core.errors import FanbenchError, TransientError
from generator.session import read_rules
from generator.settings import GeneratorSettings
from generator.share import Share

AHEAD_NS = 100_000_000
"""The time from announcing the schedule's start to the start itself, so that all processes know it in time."""
LOOK_S = 0.2
"""How often a silent process is looked for."""
_SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)


class MemberNews(NamedTuple):
    """What a process tells: that it is connected, its report, or why it ended."""

    what: Literal["connected", "report", "error"]
    text: str = ""
    transient: bool = False


class Order(NamedTuple):
    """A command to a process: start at `starts_ns`, or end."""

    do: Literal["start", "end"]
    starts_ns: int = 0


class MemberLink(Protocol):
    """The connection to one process."""

    def fileno(self) -> int:
        """Readable when there is news, or when the process has ended."""

    def send(self, order: Order) -> None:
        """Pass on an order; raises OSError if the process has ended."""

    def news(self) -> list[MemberNews]:
        """What it has told since the last call; raises EOFError or OSError once it has ended."""

    def silent_s(self) -> float:
        """For how long nothing has been heard of a process that should be heard of all the time."""

    def close(self) -> None:
        """End the connection, and with it the process's part."""


class ShareHolder(NamedTuple):
    """A process that publishes a share."""

    share: Share
    link: MemberLink
    how_ended: Callable[[], str]
    """Names the process, and says how it ended; called after it has."""


@contextmanager
def signals_as_bytes() -> Iterator[socket.socket]:
    """A socket that gives each signal as the byte of its number."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writer.fileno())
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(-1)
        reader.close()
        writer.close()


def readable(descriptors: Iterable[int]) -> set[int]:
    """Those of the descriptors that can be read, once there are some or LOOK_S seconds have passed."""
    return {one for one in wait(list(descriptors), LOOK_S) if isinstance(one, int)}


class Conductor:
    """Starts and ends the processes together, and collects what they tell."""

    def __init__(
        self,
        settings: GeneratorSettings,
        members: Sequence[ShareHolder],
        ahead_ns: int = AHEAD_NS,
        *,
        wanted: bool = False,
    ) -> None:
        """`wanted`: the start has been ordered already."""
        self._settings = settings
        self._ahead_ns = ahead_ns
        self._open = {member.link: member for member in members}
        self._unconnected = {member.link for member in members}
        self._reports: dict[str, GeneratorReport] = {}
        self._error: FanbenchError | None = None
        self._wanted = wanted or not settings.hold
        self._begun = self._called_off = False

    def conduct(self, signals: socket.socket, told: Callable[[], None] = lambda: None) -> dict[str, GeneratorReport]:
        """Until all have ended: their reports by share; fewer than there are shares if called off before they were connected.

        `told` is called several times a second.

        Raises:
            FanbenchError: of the first process that ended for another reason.
        """
        while self._open:
            ready = readable([signals.fileno(), *(link.fileno() for link in self._open)])
            for member in [member for link, member in self._open.items() if link.fileno() in ready]:
                self._hear(member)
            if signals.fileno() in ready:
                for number in signals.recv(64):
                    self._signalled(number)
            self._look_for_silent()
            told()
            if self._wanted and not self._begun and not self._unconnected:
                self._begun = True
                self._tell(Order("start", self._starts_ns()))
        if self._error is not None:
            raise self._error
        return self._reports

    def _starts_ns(self) -> int:
        # Read now: the rules may say it since the signal, as they do to the load.
        in_rules = read_rules(self._settings.sessions).starts_ns if self._settings.sessions else 0
        return in_rules or self._settings.starts_ns() or now_ns() + self._ahead_ns

    def _signalled(self, number: int) -> None:
        if number == signal.SIGUSR1 and not self._wanted:
            self._wanted = True
        elif number != signal.SIGUSR1 or self._settings.hold:
            self._end()

    def _end(self) -> None:
        self._called_off = True
        self._tell(Order("end"))

    def _tell(self, order: Order) -> None:
        for link in self._open:
            with contextlib.suppress(OSError):
                link.send(order)  # one that has ended is heard of next

    def _hear(self, member: ShareHolder) -> None:
        try:
            for news in member.link.news():
                self._note(member, news)
        except (EOFError, OSError):
            self._ended(member)
        except FanbenchError as error:
            self._fail(error)
            self._ended(member)

    def _note(self, member: ShareHolder, news: MemberNews) -> None:
        if news.what == "connected":
            self._unconnected.discard(member.link)
        elif news.what == "report":
            self._reports[f"share {member.share}"] = codec.decode(GeneratorReport, news.text, f"share {member.share}")
        elif news.what == "error":
            self._fail((TransientError if news.transient else FanbenchError)(news.text))

    def _look_for_silent(self) -> None:
        for member in [member for member in self._open.values() if member.link.silent_s() > 0]:
            self._ended(member)

    def _ended(self, member: ShareHolder) -> None:
        del self._open[member.link]
        how = member.how_ended()
        called_off_early = self._called_off and member.link in self._unconnected
        if f"share {member.share}" not in self._reports and not called_off_early:
            self._fail(
                TransientError(f"{how} and without a report, so that what was published is not known; {_LOOK_FOR}")
            )

    def _fail(self, error: FanbenchError) -> None:
        if self._error is None:
            self._error = error
            self._end()


_LOOK_FOR = "look for what ended it (memory, a signal, the network), and start again"
