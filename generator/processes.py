"""Several processes that follow one schedule: each publishes its share of the topics, and one report is made of theirs."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess

import uvloop

from core.contracts import codec
from core.errors import FanbenchError
from core.stamp import new_stream
from generator.conductor import Conductor, MemberNews, Order, ShareHolder, signals_as_bytes
from generator.merge import write_whole
from generator.session import Orders, follow_orders
from generator.settings import GeneratorSettings
from generator.share import Share

STOP_S = 25.0
"""Time for a process to end once nobody listens to it: it may wait for what is in flight, and for its outbox."""


class _PipeLink:
    """The pipe to a process that was forked; its end shows at once."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def fileno(self) -> int:
        return self._pipe.fileno()

    def send(self, order: Order) -> None:
        self._pipe.send(order)

    def news(self) -> list[MemberNews]:
        told: MemberNews = self._pipe.recv()
        return [told]

    def silent_s(self) -> float:
        return 0.0

    def close(self) -> None:
        self._pipe.close()


def run_processes(settings: GeneratorSettings) -> None:
    """Publish in `settings.processes` processes until the schedule ends, or SIGTERM; write the one report.

    Raises:
        UsageError: a setting cannot be used.
        BrokerError: the broker does not answer; or FanbenchError with its text.
        TransientError: a process ended without a report, or a service accepted no event.
    """
    settings.require_topics()
    with signals_as_bytes() as signals, _started(settings) as members:
        reports = Conductor(settings, members).conduct(signals)
    if len(reports) == len(members):
        write_whole(settings, reports)


@contextmanager
def _started(settings: GeneratorSettings) -> Iterator[list[ShareHolder]]:
    """Start the processes; all have ended when the block exits."""
    context = multiprocessing.get_context("fork")  # everything is imported, and nothing runs yet
    shares = settings.its_share().split(settings.processes)
    pipes = [context.Pipe() for _ in shares]
    stream = new_stream(settings.starts_ns())
    members: list[ShareHolder] = []
    processes: list[ForkProcess] = []
    try:
        for number, (share, (ours, theirs)) in enumerate(zip(shares, pipes, strict=True)):
            # If another process kept our end open, the others would not notice that we are gone.
            not_its = [end for pair in pipes for end in pair if end is not theirs]
            own = settings.of_process(share, number)
            process = context.Process(target=_run_member, args=(own, theirs, not_its, stream), daemon=True)
            process.start()
            processes.append(process)
            members.append(ShareHolder(share, _PipeLink(ours), partial(_how_ended, process, share)))
        for _, theirs in pipes:
            theirs.close()
        yield members
    finally:
        for member in members:
            member.link.close()
        for process in processes:
            process.join(STOP_S)
            process.kill()
            process.join()


def _how_ended(process: ForkProcess, share: Share) -> str:
    process.join(STOP_S)
    return f"the process of share {share} ended with exit code {process.exitcode}"


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
