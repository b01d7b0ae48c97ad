"""Sets up a run at an endpoint: the load listens to the service itself, and the generator publishes to it by HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brokers.contender import Broker, Contender
from core.endpoint.compared import ComparedEndpoint
from core.errors import TransientError, UsageError
from core.scenario import Scenario
from harness.runner.processes import Children, generator_settings, start_generator, start_load
from harness.runner.resources import rss_mb
from harness.runner.testbed import Testbed


def set_up_endpoint(
    contender: Contender,
    endpoint: ComparedEndpoint,
    scenario: Scenario,
    service: Broker,
    folder: Path,
    children: Children,
    transport: str,
) -> Testbed:
    """Start the generator (on hold) and Locust; the service, which replaces broker and replicas, already answers.

    Raises:
        UsageError: the scenario or the transport cannot be measured there.
    """
    if transport != "sse":
        raise UsageError(
            f"endpoint '{endpoint.name}': it streams Server-Sent Events; leave out --transport {transport}"
        )
    if scenario.faults:
        raise UsageError(f"endpoint '{endpoint.name}': fanbench breaks its own replicas only; leave it out")
    endpoint.require_usable(scenario)
    dialect = folder / "dialect.toml"
    dialect.write_text(endpoint.dialect_text(), encoding="utf-8")
    generator, report = start_generator(generator_settings(scenario) | endpoint.generator_settings(service.url), folder)
    children.add(generator)
    load = start_load(scenario, [service.url], folder, extra=endpoint.load_settings(str(dialect)))
    children.add(load.child)
    server_mb = rss_mb(service.pids) if service.pids else None
    return Testbed(contender, scenario, service, [], load, [generator], [report], children, server_mb=server_mb)


@contextmanager
def hint_of_endpoint(testbed: Testbed) -> Iterator[None]:
    """If an endpoint's clients do not connect or hear nothing, add what is probably wrong.

    Raises: TransientError: the block's own error, with where to look.
    """
    try:
        yield
    except TransientError as error:
        endpoint = testbed.contender.endpoint
        if endpoint is None:
            raise
        raise TransientError(
            f"{error}; do path, publish and stamp in {endpoint.file} fit the service? {testbed.load.out.with_name('generator.log')} "
            "has what it answered to publishes"
        ) from error
