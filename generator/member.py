"""`python -m generator join HOST:PORT`: publishes a share of each run that is conducted there, one run after the other, until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import uvloop

from core.clock import now_ns
from core.contracts.codec import encode, write
from core.contracts.generator_report import GeneratorReport
from core.contracts.load_status import WorkerUsage
from core.errors import FanbenchError, UsageError
from core.logs import log_to_stderr
from core.settings import read_settings
from generator.join_greeting import connected, greeted, told_by
from generator.messages import ALIVE_EVERY_S, SILENT_S, ConductorTells, MemberTells
from generator.session import Orders, follow_orders
from generator.settings import GeneratorSettings, parse_address

AGAIN_S = 0.5
"""The wait until it tries again to join: between two runs nobody listens."""

_log = logging.getLogger("fanbench.generator")


def join(argv: Sequence[str]) -> None:
    """Join whoever conducts at the address, again and again, until SIGTERM or SIGINT.

    Raises:
        UsageError: there is no address, or a setting cannot be used. FanbenchError: this generator was rejected, or the conductor is not trusted.
    """
    try:
        host, port = parse_address(argv[0] if argv else "")
    except ValueError as error:
        raise UsageError(f"join {' '.join(argv[:1])!r}: {error}") from None
    settings = read_settings(GeneratorSettings, argv[1:])
    log_to_stderr("info", settings.log_format)
    with (
        contextlib.suppress(asyncio.CancelledError),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_run_after_run(settings, host, port))


async def _run_after_run(settings: GeneratorSettings, host: str, port: int) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    alone = False
    while True:
        try:
            reader, writer = await connected(settings, host, port)
        except OSError as error:
            if not alone:
                _log.info("nobody conducts at %s:%d now (%s); trying again", host, port, error)
            alone = True
        else:
            alone = False
            try:
                await _OneRun(settings, reader, writer).take_part()
            except OSError as error:
                _log.warning("the connection to %s:%d is lost: %s", host, port, error)
            finally:
                writer.close()
        await asyncio.sleep(AGAIN_S)


class _OneRun:
    """The part in one run, over one connection."""

    def __init__(self, settings: GeneratorSettings, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        if hasattr(
            socket, "TCP_USER_TIMEOUT"
        ):  # the conductor's host may be lost, and says nothing for long in any case
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SILENT_S * 1000))
        self._settings = settings
        self._reader = reader
        self._writer = writer
        self._process = psutil.Process()
        self._name = f"{socket.gethostname()} {os.getpid()}"
        self._began_cpu_s = time.process_time()
        self._conductor_ahead_ns = 0
        """But for the time that its message took."""
        self._ended_by_signal = False

    async def take_part(self) -> None:
        """Join, wait for the task, and publish; return when the run is over.

        Raises:
            FanbenchError: it was rejected, or the conductor is not trusted. OSError: the connection is lost.
        """
        if not await greeted(self._settings, self._reader, self._writer, self._usage()):
            return
        alive = asyncio.create_task(self._say_alive())
        try:
            told = await told_by(self._reader)
            if told is None:
                return
            if told.task is None:
                raise FanbenchError(
                    f"the conductor said {told.what!r} before it gave a task; both programs must be of one version of fanbench"
                )
            with tempfile.TemporaryDirectory(prefix="fanbench-generator-") as folder:
                await self._publish(self._own(told, Path(folder)), told.stream)
            await self._writer.drain()
        finally:
            alive.cancel()

    def _own(self, told: ConductorTells, folder: Path) -> GeneratorSettings:
        """The settings for its share; those of this host stay."""
        assert told.task is not None
        rules = None
        if told.rules is not None:
            rules = folder / "sessions.json"
            write(told.rules.started(0), rules)  # the start is ordered, by this host's clock
        own = {"share": told.share, "sessions": rules, "processes": 1}
        own |= {"publish": "", "broker_password_file": None, "starts_at": "", "join_at": "", "report": None}
        return self._settings.model_copy(update=told.task.model_dump() | own)

    async def _publish(self, settings: GeneratorSettings, stream: str) -> None:
        _log.info("publishing share %s of the run to its broker", settings.share)
        orders = Orders(lambda: session.cancel())
        session = asyncio.create_task(follow_orders(settings, orders, self._report, self._connected, stream))
        hearing = asyncio.create_task(self._obey(orders, session))
        try:
            await asyncio.wait([session, hearing], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._ended_by_signal = True
            self._fail(f"the generator {self._name} was ended by a signal in the middle of the run", transient=True)
            raise
        finally:
            hearing.cancel()
            session.cancel()
            await asyncio.gather(session, hearing, return_exceptions=True)
        first = hearing if hearing.done() and not hearing.cancelled() and hearing.exception() else session
        error = None if first.cancelled() else first.exception()
        if isinstance(error, FanbenchError):
            self._fail(f"the generator {self._name}: {error}", error.transient)
        elif error is not None:
            raise error

    async def _obey(self, orders: Orders, session: asyncio.Task[None]) -> None:
        while (told := await told_by(self._reader)) is not None:
            if told.what == "start":
                self._conductor_ahead_ns = told.now_ns - now_ns()
                orders.start(told.starts_ns - self._conductor_ahead_ns)
            else:
                orders.call_off()
        session.cancel()  # nobody wants the report any more

    async def _say_alive(self) -> None:
        while True:
            await asyncio.sleep(ALIVE_EVERY_S)
            self._tell(MemberTells(what="alive", usage=self._usage()))

    def _usage(self) -> WorkerUsage:
        return WorkerUsage(
            name=self._name,
            cpu_s=time.process_time(),
            rss_bytes=self._process.memory_info().rss,
            at_s=time.monotonic(),
        )

    def _connected(self) -> None:
        self._tell(MemberTells(what="connected"))

    def _report(self, report: GeneratorReport) -> None:
        """Send it, with its instants by the conductor's clock and the CPU of this run."""
        if self._ended_by_signal:
            return
        ahead_ns = self._conductor_ahead_ns
        own = {
            "measure_started_ns": report.measure_started_ns and report.measure_started_ns + ahead_ns,
            "measure_ended_ns": report.measure_ended_ns and report.measure_ended_ns + ahead_ns,
            "cpu_s": report.cpu_s - self._began_cpu_s,
        }
        self._tell(MemberTells(what="report", text=encode(report.model_copy(update=own)), usage=self._usage()))

    def _fail(self, text: str, transient: bool) -> None:
        self._tell(MemberTells(what="error", text=text, transient=transient))

    def _tell(self, told: MemberTells) -> None:
        self._writer.write(encode(told).encode() + b"\n")
