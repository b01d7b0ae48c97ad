"""Joins the measurement to Locust's life cycle: start, ticks, the end. Locust itself is passed in.

This is the process that people use: Locust's only process, or its master.
"""

from __future__ import annotations

import atexit
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
from gevent.lock import RLock

from core.contracts.load_result import LoadResult
from core.endpoint.origin import Origin
from core.endpoint.request import StreamEndpoint
from core.errors import FanbenchError, exit_code
from load.control import Control
from load.document_files import write_document
from load.endpoint_access import open_access
from load.endpoint_settings import endpoint_of
from load.measurement import AHEAD_NS, CollectedResult, Measurement
from load.messages import Begin
from load.readiness import wait_ready
from load.result import build_result
from load.result_page import ResultPage, test_name
from load.session import TICK_S
from load.settings import ON_THE_PAGE, LoadSettings, read_settings
from load.summary import print_summary, summary_text
from load.thresholds import parse_thresholds
from load.worker_result import WorkerResult

ORDERS_S = 0.02
"""How often orders are read, which bounds how late a fault's mark is noticed."""
_NS_PER_S = 1_000_000_000
NOT_YET_NS = 2**62
"""Measuring starts when all clients are there and warm; until then no event is due late enough."""

log = logging.getLogger("fanbench.load")


class Suite:
    """The suite in Locust's only process, or in its master."""

    def __init__(self, environment: Any, measurement: Measurement, offered: Callable[[], Mapping[str, Any]]) -> None:
        """`offered` returns the options that Locust's page offers, with the initial value of each."""
        gevent.get_hub().loop.update_now()  # imports took a second or two, which would shorten --run-time
        self._environment = environment
        self._measurement = measurement
        self._given = {name: getattr(environment.parsed_options, name, None) for name in LoadSettings.model_fields}
        self._files = self._settings = read_settings(SimpleNamespace(**self._given))
        self._thresholds = parse_thresholds(self._files.fail_if)
        self._problems: list[str] = []
        self._refused = 1
        self._result: LoadResult | None = None
        self._began_ns = 0
        self._warm = True
        self._ending = RLock()
        self._control = Control(self._files.control) if self._files.control else None
        self._status_failed = False
        self._page = self._open_page(offered) if environment.web_ui is not None else None
        if environment.parsed_options.headless:
            self._check()
        environment.events.test_start.add_listener(self._begin)
        environment.events.spawning_complete.add_listener(self._all_spawned)
        environment.events.reset_stats.add_listener(self._measure_anew)
        environment.events.test_stopping.add_listener(self._finish)
        environment.events.quitting.add_listener(self._finish)
        environment.events.quit.add_listener(self._report)
        atexit.register(self._say_that_no_test_began)
        gevent.spawn(self._tick_forever)
        gevent.spawn(self._obey_forever)

    def _check(self) -> None:
        """Raise at once for options that cannot work."""
        origins = self._settings.origins(self._environment.host)
        endpoint = self._endpoint(self._settings, origins)
        if endpoint is not None and not self._has_workers:  # otherwise the workers read the files, on their hosts
            open_access(endpoint, self._settings.token, 0, origins)
        if not self._settings.wait:
            return
        try:
            wait_ready(origins, self._settings.wait)
        except FanbenchError as error:
            self._problems.append(str(error))
            self._end(CollectedResult())
            raise

    def _begin(self, **_: Any) -> None:
        """Start a test, unless something prevents it."""
        self._result = None
        # Its name has whole seconds: no two begin in the same one.
        self._began_ns = max(time.time_ns(), (self._began_ns // _NS_PER_S + 1) * _NS_PER_S)
        self._problems = []
        try:
            self._settings = self._settings_of({})
            self._warm = self._settings.warmup == 0
            self._problems += self._measurement.begin(self._test(self._settings, self._asked(), self._environment.host))
        except FanbenchError as error:
            self._problems.append(str(error))
            self._refused = exit_code(error)
        if self._problems:
            log.error("the test does not start: %s", "; ".join(self._problems))
            gevent.spawn(self._give_up)
            raise gevent.GreenletExit  # Locust has no other way to refuse a start without a traceback

    def _test(self, settings: LoadSettings, clients: int, host: str | None) -> Begin:
        return Begin(
            test=self._began_ns,
            replicas=tuple(origin.url for origin in settings.origins(host)),
            topic=settings.topic,
            topic_skew=settings.topic_skew,
            token=settings.token,
            clients=clients,
            measure_from_ns=NOT_YET_NS if settings.warmup else 0,
            users=clients,
            compact=settings.stamp == "compact",
            sessions=settings.rules(),
            endpoint=self._endpoint(settings, settings.origins(host)),
            connect_timeout_s=settings.connect_timeout,
        )

    def _endpoint(self, settings: LoadSettings, origins: Sequence[Origin]) -> StreamEndpoint | None:
        """What the clients listen to, if it is not one of our replicas."""
        return endpoint_of(settings, origins, several=self._has_workers)

    @property
    def _has_workers(self) -> bool:
        options = self._environment.parsed_options
        return bool(options.master or options.processes)

    def _open_page(self, offered: Callable[[], Mapping[str, Any]]) -> ResultPage:
        runner = self._environment.runner
        return ResultPage(
            self._environment.web_ui,
            self._may_start,
            lambda: runner.state in ("spawning", "running"),
            ON_THE_PAGE,
            offered,
        )

    def _may_start(self, form: Mapping[str, str]) -> None:
        """Check, before it sends users, what a start with that form would do; raise the reason if it cannot start."""
        settings = self._settings_of(form)
        clients = int(form["user_count"]) if form.get("user_count", "").isdigit() else 1  # Locust refuses the rest
        begin = self._test(settings, clients, form.get("host") or self._environment.host)
        if settings.wait:
            wait_ready(settings.origins(form.get("host") or self._environment.host), settings.wait)
        problems = self._measurement.begin(begin)
        if problems:
            raise FanbenchError("; ".join(problems))

    def _settings_of(self, form: Mapping[str, str]) -> LoadSettings:
        """The page may change only the options that it offers. It does not show the token, so an empty field means the given one."""
        options = vars(self._environment.parsed_options)
        now = {name: form[name] if name in form else options[name] for name in ON_THE_PAGE}
        changed = {name: value for name, value in now.items() if name != "token" or value}
        return read_settings(SimpleNamespace(**self._given | changed))

    def _asked(self) -> int:
        options = self._environment.parsed_options
        return int(self._environment.runner.target_user_count if self._began_ns else options.num_users or 0)

    def _give_up(self) -> None:
        """End the test that could not start; without a page, end everything."""
        self._end(CollectedResult())
        self._environment.process_exit_code = max(self._environment.process_exit_code, self._refused)
        if self._environment.parsed_options.headless:
            self._environment.runner.quit()

    def _all_spawned(self, **_: Any) -> None:
        if not self._warm:
            self._warm = True
            self._measurement.measure_from(time.time_ns() + int(self._settings.warmup * 1e9))
        elif self._environment.reset_stats:
            self._measure_anew()

    def _measure_anew(self, **_: Any) -> None:
        """Locust empties its own table."""
        if self._warm:
            self._measurement.measure_from(time.time_ns() + AHEAD_NS)

    def _tick_forever(self) -> None:
        while True:
            gevent.sleep(TICK_S)
            self._measurement.tick()
            self._write_status()

    def _obey_forever(self) -> None:
        while self._control is not None:
            gevent.sleep(ORDERS_S)
            for order in self._control.orders():
                self._measurement.obey(order)

    def _write_status(self) -> None:
        if not self._files.status:
            return
        try:
            write_document(self._measurement.status(), self._files.status)
            self._status_failed = False
        except FanbenchError as error:
            if not self._status_failed:
                log.error("%s", error)  # noqa: TRY400
            self._status_failed = True

    def _finish(self, **_: Any) -> None:
        """The test is about to stop, its users are still there: end the measurement and write the result, once.

        Locust may stop and quit at the same time; the second waits until the first is done.
        """
        with self._ending:
            if self._result is None and self._began_ns:
                self._end(self._measurement.collect(self._settings.drain))

    def _say_that_no_test_began(self) -> None:
        """Locust ends without a test, for instance because workers never came.

        Write a result, or an earlier one would look like this run's.
        """
        if self._result is None and not self._began_ns and self._page is None:
            self._problems.append("no test began; the log says why")
            self._end(CollectedResult())

    def _end(self, collected: CollectedResult) -> None:
        problems = [*self._problems, *collected.problems]
        self._result = self._judged(collected.result, problems)
        self._write_status()
        try:
            if self._files.out:
                write_document(self._result, self._path_of_result(self._files.out))
        except FanbenchError as error:
            self._result = self._judged(collected.result, [*problems, str(error)])
        if self._page is not None:
            self._page.add(self._began_ns, self._result)
            log.info("test of %s:\n%s", test_name(self._began_ns), summary_text(self._result))
        failed = int(bool(self._result.problems or self._result.breaches))
        self._environment.process_exit_code = max(self._environment.process_exit_code or 0, failed)

    def _path_of_result(self, out: Path) -> Path:
        """`--out`; with a page, which can start many tests, one file for each."""
        return out if self._page is None else out.with_name(f"{out.stem}-{test_name(self._began_ns)}{out.suffix}")

    def _judged(self, totals: WorkerResult, problems: list[str]) -> LoadResult:
        result = build_result(totals, self._asked(), problems)
        breaches = [breach for one in self._thresholds if (breach := one.breach(result))]
        return build_result(totals, self._asked(), problems, breaches) if breaches else result

    def _report(self, **_: Any) -> None:
        """Print the summary at the very end, next to Locust's JSON if that was requested."""
        if self._result is not None and self._page is None:
            stream = sys.stderr if self._environment.parsed_options.json else sys.stdout
            print_summary(self._result, stream)
