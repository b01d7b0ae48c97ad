"""Sets up a run at an endpoint: the load listens to the service itself, and the generator publishes to it by HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote

from brokers.contender import Broker, Contender
from brokers.programs.running import Running
from core.endpoint.compared import ComparedEndpoint, Service
from core.endpoint.publish_request import parse_publish
from core.endpoint.tls import tls_context, why_lost
from core.errors import FanbenchError, TransientError, UsageError
from core.scenario import Scenario
from core.topics import expand_topics
from harness.runner.processes import Children, generator_settings, start_generator, start_load
from harness.runner.resources import rss_mb
from harness.runner.testbed import Testbed

_ANSWER_S = 10.0


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
        UsageError: the scenario or the transport cannot be measured there. TransientError: it refused to prepare a topic.
    """
    if transport != "sse":
        raise UsageError(
            f"endpoint '{endpoint.name}': it streams Server-Sent Events; leave out --transport {transport}"
        )
    if scenario.faults:
        raise UsageError(f"endpoint '{endpoint.name}': fanbench breaks only its own replicas; leave it out")
    endpoint.require_usable(scenario)
    dialect = folder / "dialect.toml"
    dialect.write_text(endpoint.dialect_text(), encoding="utf-8")
    at = Service(service.url, service.running.listeners if isinstance(service.running, Running) else {})
    prepare_topics(endpoint, expand_topics(scenario.topics), at)
    generator, report = start_generator(generator_settings(scenario) | endpoint.generator_settings(at), folder)
    children.add(generator)
    load = start_load(scenario, [service.url], folder, extra=endpoint.load_settings(service.url, str(dialect)))
    children.add(load.child)
    server_mb = rss_mb(service.pids) if service.pids else None
    return Testbed(contender, scenario, service, [], load, [generator], [report], children, server_mb=server_mb)


def prepare_topics(endpoint: ComparedEndpoint, topics: Sequence[str], service: Service) -> None:
    """Send the request that each topic needs before clients can listen to it; nothing if the file asks for none.

    Raises:
        TransientError: the service refuses, or does not answer.
    """
    if not endpoint.prepare:
        return
    origin, request = parse_publish(endpoint.request_at(endpoint.prepare, service), endpoint.publish_headers)
    https = [urllib.request.HTTPSHandler(context=tls_context(endpoint.tls))] if origin.scheme == "https" else []
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), *https)
    for topic in topics:
        headers = {name: value.replace("{topic}", topic) for name, value in request.headers}
        url = f"{origin.url}{request.path.replace('{topic}', quote(topic, safe=''))}"
        asked = urllib.request.Request(url, data=b"", headers=headers, method=request.method)  # noqa: S310 - parse_publish checks it
        try:
            opener.open(asked, timeout=_ANSWER_S).close()
        except (OSError, HTTPException) as error:  # the first has urllib's own errors
            raise TransientError(
                f"endpoint '{endpoint.name}': prepare = {endpoint.prepare!r} for topic {topic!r}: {_why(error)}; correct prepare in "
                f"{endpoint.file}, or leave it out if topics need nothing"
            ) from error


def _why(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"status {error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return why_lost(reason) if isinstance(reason, OSError) else str(reason)


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
            f"{error}; {_what_came(testbed)}do path, publish and stamp in {endpoint.file} fit the service? "
            f"{testbed.load.out.with_name('generator.log')} shows how it answered publishes"
        ) from error


def _what_came(testbed: Testbed) -> str:
    """What the clients got instead of fanbench's events, or why they got no stream; '' if that is not reported."""
    try:
        result = testbed.load.finish()
    except FanbenchError:
        return ""
    if result.foreign_kinds:
        return (
            f"events came in which fanbench's stamp is not where the dialect says ({_counted(result.foreign_kinds)}); "
        )
    return f"attempts that got no stream: {_counted(result.refused)}; " if result.refused else ""


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} x {reason}" for reason, count in sorted(reasons.items()))
