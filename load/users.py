"""Connects the suite to Locust, for a locustfile of one transport; load/locust_changes.py changes Locust itself."""

from __future__ import annotations

import gc
import secrets
import signal
import sys
from typing import Any

import gevent
from locust import User, argument_parser, constant, events, task

from core.errors import FanbenchError, exit_code
from load.local import LocalMeasurement
from load.locust_changes import can_reach, change_locust, networks_of, offered_on_page
from load.locust_table import LocustTable
from load.master import MasterMeasurement
from load.session_factory import SessionFactory
from load.settings import add_options
from load.source_addresses import own_addresses
from load.sse_user import SSEUser
from load.suite import Suite
from load.transport import Transport
from load.user_places import UserPlaces
from load.worker import Worker

__all__ = ["SSEUser", "StreamUser", "measure"]

FOREVER_S = 10**8
_FORKED_RUN = secrets.token_hex(8)
"""The run name for `--processes`: made before Locust forks its workers, so that only they know it."""

_places: UserPlaces


def measure(transport: Transport) -> None:
    """Measure what this locustfile's clients receive over `transport`."""

    def factory(environment: Any) -> SessionFactory:
        sources = own_addresses(environment.parsed_options.source_addresses)
        return SessionFactory(transport, LocustTable(environment, transport.name), sources)

    def start_worker(environment: Any, runner: Any) -> None:
        global _places
        forked = bool(environment.parsed_options.processes)
        argument_parser.default_args_dict()  # now, while nothing waits for it
        try:
            _places = Worker(environment, runner, factory(environment), forked=forked).places
        except FanbenchError as error:
            print(f"fanbench: {error}", file=sys.stderr)
            sys.exit(exit_code(error))

    def start(environment: Any, **_: Any) -> None:
        global _places
        options = environment.parsed_options
        if options.worker:
            return
        runner = environment.runner

        def target() -> int:
            return int(runner.target_user_count)

        try:
            if options.master:
                Suite(environment, MasterMeasurement(runner, target, can_reach, networks_of(runner)), offered_on_page)
            else:
                local = LocalMeasurement(factory(environment), target)
                _places = local.places
                Suite(environment, local, offered_on_page)
        except FanbenchError as error:
            print(f"fanbench: {error}", file=sys.stderr)
            sys.exit(exit_code(error))

    change_locust(_RunName(), start_worker, transport.name)
    events.init.add_listener(interrupt_main)  # type: ignore[no-untyped-call]
    events.spawning_complete.add_listener(freeze)  # type: ignore[no-untyped-call]
    events.init_command_line_parser.add_listener(add_options)  # type: ignore[no-untyped-call]
    events.init.add_listener(start)  # type: ignore[no-untyped-call]


def freeze(**_: Any) -> None:
    """Exempt all clients from garbage collection: each full collection would traverse thousands of objects.

    Events have no reference cycles. At thousands per second, the default threshold of 700 collects too often.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def interrupt_main(**_: Any) -> None:
    """Have Ctrl-C end Locust's main greenlet. Otherwise it could end the greenlet that reads messages."""
    hub = gevent.get_hub()
    gevent.signal_handler(signal.SIGINT, lambda: hub.handle_system_error(KeyboardInterrupt, KeyboardInterrupt()))


class _RunName:
    """The run name of this process, read once so that the page cannot change it."""

    def __init__(self) -> None:
        self._name: str | None = None

    def __call__(self, options: Any) -> str:
        if self._name is None:
            self._name = _run_name(options)
        return self._name


def _run_name(options: Any) -> str:
    if options.run_name or not options.processes:
        return str(options.run_name)
    # `--worker --processes 4` starts workers of a master elsewhere; Locust has set `worker` in each of its forks.
    as_given = argument_parser.get_parser().parse_args()
    return "" if as_given.worker else _FORKED_RUN


class StreamUser(User):
    """One connection for as long as the user lives."""

    abstract = True
    wait_time = constant(FOREVER_S)

    def on_start(self) -> None:
        """Take a place. Once there is a seat, the reader connects and reads; this greenlet sleeps."""
        self._place = _places.enter()

    def on_stop(self) -> None:
        """Leave the place."""
        _places.leave(self._place)

    @task
    def stay(self) -> None:
        """Do nothing: Locust requires a task, and waits after it."""
