"""Several processes that follow one schedule: each publishes its share of the topics, and one report is made of theirs."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Literal, NamedTuple

import uvloop

from core.clock import now_ns
from core.contracts import codec
from core.contracts.generator_report import GeneratorReport
from core.errors import FanbenchError, TransientError
from core.stamp import new_stream
from generator.acceptance import require_accepted
from generator.merge import merge
from generator.session import Orders, follow_orders
from generator.settings import GeneratorSettings
from generator.share import Share

AHEAD_NS = 100_000_000
"""The time from announcing the schedule's start to the start itself, so that all processes know it in time."""
STOP_S = 25.0
"""Time for a process to end once nobody listens to it: it may wait for what is in flight, and for its outbox."""
_SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)


class MemberNews(NamedTuple):
    """A process's message to the first one: that it is connected, its report, or why it ended."""

    what: Literal["connected", "report", "error"]
    text: str = ""
    transient: bool = False


class Order(NamedTuple):
    """A command to a process: start at `starts_ns`, or end."""

    do: Literal["start", "end"]
    starts_ns: int = 0


class _Member(NamedTuple):
    share: Share
    process: ForkProcess
    link: Connection


def run_processes(settings: GeneratorSettings) -> None:
    """Publish in `settings.processes` processes until the schedule ends, or SIGTERM; write the one report.

    Raises:
        UsageError: a setting cannot be used.
        BrokerError: the broker does not answer; or FanbenchError with its text.
        TransientError: a process ended without a report, or a service accepted no event.
    """
    settings.require_topics()
    with _signals() as signals, _started(settings) as members:
        reports = _Conductor(settings, members).conduct(signals)
    if len(reports) == len(members):
        whole = merge(reports)
        if settings.report is not None:
            codec.write(whole, settings.report)
        require_accepted(settings, whole)


@contextmanager
def _signals() -> Iterator[socket.socket]:
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


@contextmanager
def _started(settings: GeneratorSettings) -> Iterator[list[_Member]]:
    """Start the processes; all have ended when the block exits."""
    context = multiprocessing.get_context("fork")  # everything is imported, and nothing runs yet
    shares = settings.its_share().split(settings.processes)
    pipes = [context.Pipe() for _ in shares]
    stream = new_stream(settings.starts_ns())
    members: list[_Member] = []
    try:
        for number, (share, (ours, theirs)) in enumerate(zip(shares, pipes, strict=True)):
            # If another process kept our end open, the others would not notice that we are gone.
            not_its = [end for pair in pipes for end in pair if end is not theirs]
            own = settings.of_process(share, number)
            process = context.Process(target=_run_member, args=(own, theirs, not_its, stream), daemon=True)
            process.start()
            members.append(_Member(share, process, ours))
        for _, theirs in pipes:
            theirs.close()
        yield members
    finally:
        for member in members:
            member.link.close()
        for member in members:
            member.process.join(STOP_S)
            member.process.kill()
            member.process.join()


class _Conductor:
    """Starts and ends the processes together, and collects their messages."""

    def __init__(self, settings: GeneratorSettings, members: Sequence[_Member]) -> None:
        self._settings = settings
        self._open = {member.link: member for member in members}
        self._unconnected = {member.link for member in members}
        self._reports: dict[str, GeneratorReport] = {}
        self._error: FanbenchError | None = None
        self._wanted = not settings.hold
        self._begun = self._called_off = False

    def conduct(self, signals: socket.socket) -> dict[str, GeneratorReport]:
        """Wait until all have ended; return their reports by share, fewer if called off before they were connected.

        Raises:
            FanbenchError: of the first process that ended for another reason.
        """
        while self._open:
            for source in wait([signals, *self._open]):
                if isinstance(source, Connection):
                    self._hear(self._open[source])
                else:
                    for number in signals.recv(64):
                        self._signalled(number)
            if self._wanted and not self._begun and not self._unconnected:
                self._begun = True
                self._tell(Order("start", self._settings.starts_ns() or now_ns() + AHEAD_NS))
        if self._error is not None:
            raise self._error
        return self._reports

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
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                link.send(order)  # the end of a process is noticed with its next message

    def _hear(self, member: _Member) -> None:
        try:
            news: MemberNews = member.link.recv()
        except (EOFError, OSError):  # OSError: it was killed within its message
            self._ended(member)
            return
        if news.what == "connected":
            self._unconnected.discard(member.link)
        elif news.what == "report":
            self._reports[f"share {member.share}"] = codec.decode(GeneratorReport, news.text, f"share {member.share}")
        else:
            self._fail((TransientError if news.transient else FanbenchError)(news.text))

    def _ended(self, member: _Member) -> None:
        del self._open[member.link]
        member.process.join(STOP_S)
        called_off_early = self._called_off and member.link in self._unconnected
        if f"share {member.share}" not in self._reports and not called_off_early:
            self._fail(
                TransientError(
                    f"the process of share {member.share} ended with exit code {member.process.exitcode} and without a report, so "
                    "it is unknown what was published; find out what ended it (memory, a signal), and start again"
                )
            )

    def _fail(self, error: FanbenchError) -> None:
        if self._error is None:
            self._error = error
            self._end()


def _run_member(settings: GeneratorSettings, link: Connection, not_its: Sequence[Connection], stream: str) -> None:
    """The other processes: they end with the link to the first."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGUSR1, signal.SIGINT):  # sent to the whole group: the first one hears them for all
        signal.signal(number, signal.SIG_IGN)
    for end in not_its:
        end.close()
    with contextlib.suppress(asyncio.CancelledError, BrokenPipeError, ConnectionResetError):
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_follow(settings, link, stream))
        except FanbenchError as error:
            link.send(MemberNews("error", str(error), error.transient))


async def _follow(settings: GeneratorSettings, link: Connection, stream: str) -> None:
    loop, session = asyncio.get_running_loop(), asyncio.current_task()
    assert session is not None
    orders = Orders(session.cancel)

    def ordered() -> None:
        try:
            order: Order = link.recv()
        except (EOFError, ConnectionResetError):
            loop.remove_reader(link.fileno())
            session.cancel()
            return
        if order.do == "start":
            orders.start(order.starts_ns)
        else:
            orders.call_off()

    loop.add_signal_handler(signal.SIGTERM, session.cancel)
    loop.add_reader(link.fileno(), ordered)
    await follow_orders(
        settings,
        orders,
        lambda report: link.send(MemberNews("report", codec.encode(report))),
        lambda: link.send(MemberNews("connected")),
        stream,
    )
