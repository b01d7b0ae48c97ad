"""Joins the measurement to Locust's life cycle: options, start, ticks, the end. Locust itself is passed in."""

from __future__ import annotations

import gc
import logging
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import numpy as np
import numpy.typing as npt
from rich.console import Console

from core.contracts import codec
from core.contracts.load_result import LoadResult
from core.contracts.load_status import LoadStatus
from core.errors import FanbenchError
from load.addresses import resolve
from load.client_faults import obey
from load.control import Control
from load.distributed import MasterLink, WorkerLink, drain
from load.latency_recorder import milliseconds
from load.plan import SeatPlan, Share
from load.readiness import wait_ready
from load.result import build_result
from load.session import TICK_S, Session
from load.settings import LoadSettings, read_settings, require_descriptors
from load.summary import print_summary
from load.transport import Transport
from load.worker_result import WorkerResult, horizon_of

ORDERS_S = 0.02
"""How often orders are looked for: how late a fault's mark may be noticed."""

log = logging.getLogger("fanbench.load")


def add_options(parser: Any) -> None:
    """Add our options to Locust's command line, its environment variables and its web UI."""
    for name, field in LoadSettings.model_fields.items():
        default = "" if field.default is None else field.default
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(default),
            default=default,
            env_var=f"FANBENCH_LOAD_{name.upper()}",
            help=field.description,
            is_secret=name == "token",
        )


class Suite:
    """The suite in this process, be it Locust's only one, its master or a worker."""

    def __init__(self, environment: Any, bucket_ms: Callable[[float], int], transport: Transport) -> None:
        gevent.get_hub().loop.update_now()  # imports took a second or two, by which --run-time would be cut short
        self.session: Session | None = None
        self._environment = environment
        self._transport = transport
        self._bucket_ms = bucket_ms
        self._result: LoadResult | None = None
        self._problems: list[str] = []
        self._control: Control | None = None
        runner, options = environment.runner, environment.parsed_options
        self._master = MasterLink(runner) if options.master else None
        self._worker = WorkerLink(runner, lambda: self.session) if options.worker else None
        self.settings = read_settings(options)
        if options.headless and not options.worker:
            self._check(options)
        environment.events.test_start.add_listener(self.begin)
        environment.events.test_stopping.add_listener(self.finish)
        environment.events.quitting.add_listener(self.finish)
        environment.events.quit.add_listener(self.report)
        environment.events.spawning_complete.add_listener(self._all_spawned)
        gevent.spawn(self._tick_forever)
        gevent.spawn(self._obey_forever)

    def _check(self, options: Any) -> None:
        """Raise now for what cannot work; a worker's options come later, from the master."""
        origins = self.settings.origins(self._environment.host)
        if self._master is None:
            resolve(origins)
            require_descriptors(options.num_users or 1)
        if self.settings.wait:
            wait_ready(origins, self.settings.wait)

    def begin(self, **_: Any) -> None:
        """A test starts."""
        self._result = self.session = None
        self._problems = []
        try:
            self._begin(self._environment.runner.target_user_count)
        except FanbenchError as error:  # Locust offers no way to refuse a start
            log.error("%s", error)  # noqa: TRY400
            self._problems.append(str(error))

    def _begin(self, clients: int) -> None:
        self.settings = read_settings(self._environment.parsed_options)
        if self._master is not None:
            self._master.deal(clients)
            return
        share = Share(0, 1, clients)
        if self._worker is not None:
            share = self._worker.share or Share(self._environment.runner.worker_index, 1, 1)
        addresses = resolve(self.settings.origins(self._environment.host))
        require_descriptors(-(-share.clients // share.workers))
        self.session = Session(
            gevent.get_hub().loop,
            addresses,
            SeatPlan(share, self.settings.topics, self.settings.topic_skew, len(addresses)),
            transport=self._transport,
            token=self.settings.token,
            on_connect=self._on_connect,
            on_break=self._on_break,
            on_fold=self._on_fold,
        )

        self._control = Control(self.settings.control) if self.settings.control else None

    def _all_spawned(self, **_: Any) -> None:
        gc.freeze()  # thousands of clients would be walked through by each full collection

    def _on_connect(self, took_ns: int, failure: str) -> None:
        self._environment.events.request.fire(
            request_type=self._transport.name,
            name="connect",
            response_time=took_ns / 1e6,
            response_length=0,
            exception=ConnectionError(failure) if failure else None,
        )

    def _on_break(self, reason: str) -> None:
        self._environment.stats.log_error(self._transport.name, "stream", reason)

    def _tick_forever(self) -> None:
        while True:
            gevent.sleep(TICK_S)
            if self.session is not None:
                self.session.tick()
                if self._worker is not None:
                    self._worker.tell_status(_counts(self.session.status()))
            self._write_status()

    def _obey_forever(self) -> None:
        while True:
            gevent.sleep(ORDERS_S)
            for order in self._control.orders() if self._control else ():
                if self.session is not None:
                    obey(self.session, order)

    def _on_fold(self, latency_ns: npt.NDArray[np.int64]) -> None:
        """Enter deliveries into Locust's own table, many at once: its `log` costs more than the delivery itself."""
        stats = self._environment.stats
        latencies = milliseconds(latency_ns)
        for entry in (stats.get("delivery", self._transport.name), stats.total) if latencies else ():
            for millisecond, count in latencies.items():
                entry.log(millisecond, 0)
                entry.num_requests += count - 1
                entry.num_reqs_per_sec[int(entry.last_request_timestamp)] += count - 1
                entry.total_response_time += millisecond * (count - 1)
                entry.response_times[self._bucket_ms(millisecond)] += count - 1

    def _write_status(self) -> None:
        if not self.settings.status or self._worker is not None:
            return
        _write(self.settings.status, self._status())

    def _status(self) -> LoadStatus:
        if self._master is None:
            return self.session.status() if self.session else LoadStatus()
        told = self._master.status()
        return LoadStatus(
            clients=told["clients"],
            reached=told["reached"],
            deliveries=told["deliveries"],
            reconnects=told["reconnects"],
        )

    def finish(self, **_: Any) -> None:
        """The test is about to stop, its users are still there: end the measurement and write the result, once."""
        if self._worker is not None:
            self._worker.finish()
            self._environment.process_exit_code = 0
            return
        if self._result is not None:
            return
        totals = WorkerResult()
        if self._master is not None:
            totals, problems = self._master.collect(self.settings.drain)
            self._problems += problems
        elif self.session is not None:
            totals = drain(self.session, horizon_of(self.session.series), self.settings.drain)
        self._result = build_result(totals, self._problems)
        self._environment.process_exit_code = 1 if self._result.problems else 0
        self._write_status()
        if self.settings.out:
            _write(self.settings.out, self._result)

    def report(self, **_: Any) -> None:
        """Everything has ended: the summary is the last word."""
        if self._result is not None:
            print_summary(self._result, Console(file=sys.stdout, soft_wrap=True))


def _counts(status: LoadStatus) -> Counter[str]:
    return Counter(
        clients=status.clients, reached=status.reached, deliveries=status.deliveries, reconnects=status.reconnects
    )


def _write(path: Path, document: LoadResult | LoadStatus) -> None:
    try:
        codec.write(document, path)
    except OSError as error:
        log.error("cannot write %s: %s; choose another path", path, error.strerror)  # noqa: TRY400
