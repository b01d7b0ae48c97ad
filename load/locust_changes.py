"""Changes to Locust where it has no option. docs/decisions/0008-locust-workers.md gives the reasons."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache, wraps
from typing import Any

import locust.argument_parser
import locust.runners
import locust.stats
import zmq
from locust.dispatch import UsersDispatcher
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerRunner
from locust.stats import StatsCSVFileWriter

from core.contracts.codec import DocumentError, decode, encode
from load.channel import message_name
from load.locust_table import bucket_ms, percentile_fields, round_ms, write_last_rows
from load.messages import Join, Refused
from load.source_addresses import network_name

log = logging.getLogger("fanbench.load")

MASTER_HEARTBEATS = 15
"""Seconds without a heartbeat after which Locust's master takes a worker for missing; its own 3 s are too few on a busy machine."""

_JOIN, _REFUSED = message_name(Join), message_name(Refused)


def change_locust(run_of: Callable[[Any], str], on_worker: Callable[[Any, Any], None], transport: str) -> None:
    """Make the changes; `run_of` maps the options to the run's name, and `on_worker` is called when a worker starts.

    The master rejects workers of another run, and those whose clients connect by another transport. `on_worker` gets Locust's environment and runner, before the worker has sent a message.
    """
    locust.runners.WORKER_REPORT_INTERVAL = 0.5  # 3 s would make totals and web UI lag behind the clients
    # A worker that waits long for a core is not lost; can_reach detects lost ones.
    locust.runners.HEARTBEAT_LIVENESS = MASTER_HEARTBEATS
    locust.stats.bucket_response_time = bucket_ms  # type: ignore[assignment]  # its own keeps only whole milliseconds
    locust.stats.proper_round = round_ms  # type: ignore[attr-defined, assignment]  # the same for the page's minimum and maximum
    locust.stats.StatsCSV._percentile_fields = percentile_fields  # type: ignore[method-assign, assignment]
    StatsCSVFileWriter.close_files = _with_last_rows(StatsCSVFileWriter.close_files)  # type: ignore[method-assign, assignment]
    # Locust calls this for each spawn message, once a second in a ramp. Uncached, it builds a parser of 70 options,
    # and the worker reads nothing for 100 ms.
    locust.argument_parser.default_args_dict = cache(locust.argument_parser.default_args_dict)
    argument_parser = locust.argument_parser
    argument_parser.ui_extra_args_dict = _without_secrets(argument_parser.ui_extra_args_dict)
    MasterRunner.handle_message = _admitting(MasterRunner.handle_message, run_of, transport)  # type: ignore[method-assign]
    UsersDispatcher._dispatcher = _noting_its_end(UsersDispatcher._dispatcher)  # type: ignore[assignment, method-assign]
    naming = _naming_the_run(WorkerRunner.connect_to_master, run_of, on_worker, transport)
    WorkerRunner.connect_to_master = naming  # type: ignore[method-assign]


def _without_secrets(options: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Keep the values of secret options out of the page: whoever can open it could read them in its source."""

    @wraps(options)
    def shown(*words: Any) -> dict[str, Any]:
        return {name: one | {"default_value": ""} if one["is_secret"] else one for name, one in options(*words).items()}

    return shown


def offered_on_page() -> Mapping[str, Any]:
    """The options that the page offers in addition to Locust's own fields, with the initial value of each."""
    return {name: one["default_value"] for name, one in locust.argument_parser.ui_extra_args_dict().items()}


def can_reach(runner: Any, worker: str) -> bool:
    """Whether the master still has a connection to the worker; a process that was killed has none at once."""
    socket = runner.server.socket
    message = Message("heartbeat", None, worker)  # type: ignore[no-untyped-call]
    socket.setsockopt(
        zmq.ROUTER_MANDATORY, 1
    )  # only for this message: Locust's own messages to a lost worker are dropped
    try:
        socket.send_multipart([worker.encode(), message.serialize()], zmq.NOBLOCK)  # type: ignore[no-untyped-call]
    except zmq.ZMQError as error:
        return error.errno != errno.EHOSTUNREACH
    finally:
        socket.setsockopt(zmq.ROUTER_MANDATORY, 0)
    return True


def _with_last_rows(close: Callable[[Any], None]) -> Callable[[Any], None]:
    """Make Locust write the totals before it closes the `--csv` files."""

    @wraps(close)
    def close_files(of: Any) -> None:
        write_last_rows(of)
        close(of)

    return close_files


def _noting_its_end(dispatch: Callable[[Any], Iterator[Any]]) -> Callable[[Any], Iterator[Any]]:
    """Make the dispatcher finish even if it has only moved users; otherwise it never moves any again."""

    @wraps(dispatch)
    def dispatcher(of: Any) -> Iterator[Any]:
        yield from dispatch(of)
        of._dispatch_in_progress = False

    return dispatcher


def networks_of(runner: Any) -> dict[str, str]:
    """The network that each accepted worker of a master has named."""
    found: dict[str, str] = runner.__dict__.setdefault("fanbench_networks", {})
    return found


def why_refused(text: str, run: str, transport: str) -> str:
    """Why a worker with this `Join` does not belong to the run; '' if it does."""
    try:
        join = decode(Join, text, "its first message")
    except DocumentError as error:
        return str(error)
    if join.transport != transport:
        return (
            f"its clients connect by {join.transport}, those of this master by {transport}; start it with the other locustfile: "
            f"`fanbench-locust {transport.lower()} --worker …`"
        )
    if join.run == run:
        return ""
    return f"it was started for run {join.run!r}, this master has run {run!r}; give both the same --run-name"


def _admitting(handle: Callable[..., None], run_of: Callable[[Any], str], transport: str) -> Callable[..., None]:
    """Make the master accept only workers that named its run, before Locust counts them and gives them users."""
    admitted: set[str] = set()
    refused: set[str] = set()

    @wraps(handle)
    def handle_message(runner: Any, client_id: str, msg: Any) -> None:
        if client_id in admitted:
            if msg.type != _JOIN:
                handle(runner, client_id, msg)
            return
        reason = "it has not named its run; check that it is a worker of this version of fanbench"
        if msg.type == _JOIN:
            reason = why_refused(msg.data, run_of(runner.environment.parsed_options), transport)
            if not reason:
                admitted.add(client_id)
                networks_of(runner)[client_id] = decode(Join, msg.data, "its first message").network
                return
        if client_id not in refused:
            refused.add(client_id)
            log.warning("worker %s is rejected: %s", client_id, reason)
        answer = Message(_REFUSED, encode(Refused(reason=reason)), client_id)  # type: ignore[no-untyped-call]
        runner.server.send_to_client(answer)

    return handle_message


def _naming_the_run(
    connect: Callable[[Any], None],
    run_of: Callable[[Any], str],
    on_worker: Callable[[Any, Any], None],
    transport: str,
) -> Callable[[Any], None]:
    """Make the worker name its run before it is ready, and end if it is refused."""

    @wraps(connect)
    def connect_to_master(runner: Any) -> None:
        if _REFUSED not in runner.custom_messages:
            reasons: list[str] = []

            def on_refused(msg: Any, **_: Any) -> None:
                reasons.append(decode(Refused, msg.data, "the master's answer").reason)
                runner.connection_event.set()

            runner.register_message(_REFUSED, on_refused)
            runner.fanbench_refused = reasons
            on_worker(runner.environment, runner)
        options = runner.environment.parsed_options
        join = Join(
            run=run_of(options), transport=transport, network=network_name(getattr(options, "source_addresses", ""))
        )
        runner.client.send(Message(_JOIN, encode(join), runner.client_id))  # type: ignore[no-untyped-call]
        connect(runner)
        if runner.fanbench_refused:
            where = f"{runner.master_host}:{runner.master_port}"
            print(
                f"fanbench: the master at {where} rejects this worker: {runner.fanbench_refused[0]}",
                file=sys.stderr,
            )
            sys.exit(1)

    return connect_to_master
