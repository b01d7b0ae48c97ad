"""Sets up a run on the user's own deployment: the command, the replicas, the workers, and what fanbench adds."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from brokers.contender import Broker, Contender
from brokers.registry import open_endpoint
from core.contracts.codec import read
from core.contracts.generator_status import GeneratorStatus
from core.errors import FanbenchError, TransientError
from core.process import Child
from core.scenario import Scenario
from harness.runner.deployment import Deployment
from harness.runner.own_commands import run_command
from harness.runner.processes import (
    Children,
    Load,
    generator_settings,
    replica_limits,
    start_generator,
    start_load,
)
from harness.runner.replicas_elsewhere import ReplicaElsewhere, wait_until_ready
from harness.runner.testbed import Testbed, write_rules
from harness.runner.watch_elsewhere import replicas_rss_mb

WORKERS_TIMEOUT_S = 90.0
"""Workers end after each run and must be restarted: Docker waits longer each time, up to a minute."""
_POLL_S = 0.1


@contextmanager
def broker_as_given(contender: Contender, _: Path) -> Iterator[Broker]:
    """The contender's broker under the unchanged URL, which the replicas already have."""
    yield Broker(contender.url)


def set_up_elsewhere(
    contender: Contender,
    scenario: Scenario,
    broker: Broker,
    folder: Path,
    children: Children,
    deployment: Deployment,
    transport: str,
    say: Callable[[str], None],
) -> Testbed:
    """Give the replicas the broker, start the generator (on hold) and Locust's master.

    Return when replicas and workers are ready.

    Raises:
        FanbenchError: the master cannot listen, the command failed, a replica is not ready at that broker, or workers did not connect.
        UsageError: the scenario cannot be run with this contender or transport.
    """
    rules_file = write_rules(contender, scenario, folder, transport)
    require_master_port(deployment)
    replicas, run_own = give_broker(contender, scenario, broker, folder, deployment, say)
    settings = publishing(contender, scenario, broker, deployment, rules_file) | joining(deployment, folder)
    generator, report = start_generator(settings, folder)
    children.add(generator)
    load = _start_master(scenario, deployment, folder, transport, rules_file)
    children.add(load.child)
    say("waiting for load workers")
    wait_for_workers(load, deployment)
    if deployment.generators:
        say("waiting for generators")
        wait_for_generators(generator, folder, deployment)
    return Testbed(
        contender,
        scenario,
        broker,
        [],
        load,
        [generator],
        [report],
        children,
        rules_file,
        server_mb=replicas_rss_mb(replicas),
        elsewhere=replicas,
        run_own=run_own,
        deployment=deployment,
        generators_status=generators_status(folder) if deployment.generators else None,
    )


def require_master_port(deployment: Deployment) -> None:
    """Check that Locust's master can listen, before the user's deployment is changed for it.

    Raises:
        FanbenchError: the address is not one of this machine, or its port is taken.
    """
    host = "" if deployment.master_host == "*" else deployment.master_host
    try:
        found = socket.getaddrinfo(
            host or None, deployment.master_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, place = found[0]
        socket.create_server(place[:2], family=family).close()
    except OSError as error:
        raise FanbenchError(
            f"--master-at {deployment.master_at}: {error.strerror or error}; give an address of this machine, or 0.0.0.0 for all, and a port that "
            "no other program uses (`ss -ltnp` shows them)"
        ) from error


def generators_status(folder: Path) -> Path:
    """The file that says which generators have joined."""
    return folder / "generator.status.json"


def joining(deployment: Deployment, folder: Path) -> dict[str, object]:
    """The further settings of a generator that only conducts those that join; empty if fanbench's own publishes."""
    if not deployment.generators:
        return {}
    name = {"run_name": deployment.run_name} if deployment.run_name else {}
    guard = deployment.joining.of_conductor() if deployment.joining is not None else {}
    return (
        guard
        | name
        | {
            "join_at": deployment.generators_at,
            "processes": deployment.generators,
            "status": generators_status(folder),
        }
    )


def publishing(
    contender: Contender, scenario: Scenario, broker: Broker, deployment: Deployment, rules_file: Path | None = None
) -> dict[str, object]:
    """The generator's settings: it compares its clock with those of the replicas, which run on other hosts."""
    return {
        "broker_url": broker.url,
        "delivery": contender.delivery,
        "replicas": ",".join(deployment.replicas),
    } | generator_settings(scenario, rules_file)


def give_broker(
    contender: Contender,
    scenario: Scenario,
    broker: Broker,
    folder: Path,
    deployment: Deployment,
    say: Callable[[str], None],
    further: Mapping[str, object] = {},
) -> tuple[tuple[ReplicaElsewhere, ...], Callable[[str, str], None]]:
    """Run `--deploy`, if there is one, with the `further` settings too, and wait until each replica is ready at the broker.

    Returns the replicas, and a function that runs another of the user's commands, given an option and its command.

    Raises:
        FanbenchError: the command failed, or a replica is not ready at that broker.
    """
    endpoint = open_endpoint(broker.url, contender.delivery)[1]
    settings = {"broker_url": broker.url, "delivery": contender.delivery, **replica_limits(scenario), **further}
    run_own = partial(run_command, settings=settings, endpoint=endpoint, log=folder / "own-commands.log")
    if deployment.deploy:
        say("running --deploy")
        run_own("--deploy", deployment.deploy)
    say("waiting for replicas")
    replicas = tuple(ReplicaElsewhere(url, deployment.token) for url in deployment.replicas)
    wait_until_ready(replicas, endpoint, deployed=bool(deployment.deploy))
    return replicas, run_own


def _start_master(
    scenario: Scenario, deployment: Deployment, folder: Path, transport: str, rules_file: Path | None
) -> Load:
    extra = {"load_run_name": deployment.run_name} if deployment.run_name else {}
    extra |= {"load_token": deployment.token} if deployment.token else {}
    master = ["--master", "--expect-workers", str(deployment.workers)]
    master += ["--master-bind-host", deployment.master_host, "--master-bind-port", str(deployment.master_port)]
    return start_load(scenario, deployment.clients_at, folder, f"{transport}.py", extra, rules_file, master)


def wait_for_generators(
    conductor: Child, folder: Path, deployment: Deployment, timeout_s: float = WORKERS_TIMEOUT_S
) -> None:
    """Wait until the expected number of generators has joined and reached the broker.

    Raises:
        TransientError: some are missing after `timeout_s` seconds. FanbenchError: the conductor has ended, or a generator cannot go on.
    """
    deadline_s = time.monotonic() + timeout_s
    while (status := _who_joined(folder)).connected < deployment.generators:
        conductor.require_alive()
        joined = status.joined
        if joined == deployment.generators and time.monotonic() > deadline_s:
            raise TransientError(
                f"{status.connected} of {joined} generators reached the broker within {timeout_s:g} s: check that it can be reached from "
                f"their hosts; {conductor.last_words()}"
            )
        if time.monotonic() > deadline_s:
            name = f"FANBENCH_RUN_NAME={deployment.run_name} " if deployment.run_name else ""
            port = deployment.generators_at.rpartition(":")[2]
            raise TransientError(
                f"{joined} of {deployment.generators} generators joined at {deployment.generators_at} within {timeout_s:g} s: start the others "
                f"with `{name}fanbench-generator join HOST:{port}`, where HOST is this machine{_secret_too(deployment)}; for generators on "
                f"other machines, give --generators-at 0.0.0.0:{port}; {conductor.last_words()}"
            )
        time.sleep(_POLL_S)


def _secret_too(deployment: Deployment) -> str:
    guard = deployment.joining
    if guard is None or not (guard.secret or guard.join_cert):
        return ""
    variables = ["FANBENCH_JOIN_SECRET"] if guard.secret else []
    variables += ["FANBENCH_JOIN_CA_FILE"] if guard.join_cert else []
    return f", and {' and '.join(variables)} in their environment"


def _who_joined(folder: Path) -> GeneratorStatus:
    return read(GeneratorStatus, generators_status(folder)) or GeneratorStatus()


def wait_for_workers(load: Load, deployment: Deployment, timeout_s: float = WORKERS_TIMEOUT_S) -> None:
    """Wait until the master has the expected number of workers.

    Raises:
        TransientError: workers are missing after `timeout_s` seconds. FanbenchError: the master has ended.
    """
    deadline_s = time.monotonic() + timeout_s
    while (joined := load.status().joined) < deployment.workers:
        load.child.require_alive()
        if time.monotonic() > deadline_s:
            name = f" --run-name {deployment.run_name}" if deployment.run_name else ""
            raise TransientError(
                f"{joined} of {deployment.workers} load workers connected to {deployment.master_at} within {timeout_s:g} s: start the "
                f"others with `fanbench-locust --worker --master-host HOST --master-port {deployment.master_port}{name}`, and "
                "restart them whenever they end (restart=always); for workers on other machines, give "
                f"--master-at 0.0.0.0:{deployment.master_port}; {load.child.last_words()}"
            )
        time.sleep(_POLL_S)
