"""Which contenders a scenario can be measured with: found before the first run, so that none is started in vain."""

from __future__ import annotations

from collections.abc import Sequence

from brokers.contender import Contender
from brokers.registry import open_endpoint
from core.errors import UsageError
from core.scenario import Scenario
from core.stamp import COMPACT_BYTES, smallest_bytes
from core.topics import expand_topics

_NAME_OF_LAST_SESSION = "session-999999999"


def fitting(
    contenders: Sequence[Contender], scenario: Scenario, transports: Sequence[str] = ("sse",), *, named: bool
) -> tuple[list[Contender], list[str]]:
    """The contenders that fit the scenario, and a sentence for each one that is left out because nobody named it.

    Raises:
        UsageError: a named one does not fit, none does, or a transport does not.
    """
    for transport in transports:
        require_transport(scenario, transport)
    reasons = {contender.name: why for contender in contenders if (why := why_unfit(contender, scenario)) is not None}
    kept = [contender for contender in contenders if contender.name not in reasons]
    if reasons and (named or not kept):
        name, why = next(iter(reasons.items()))
        raise UsageError(f"contender '{name}': {why}, or leave it out")
    return kept, [f"left out: {name}: {why}" for name, why in reasons.items()]


def require_transport(scenario: Scenario, transport: str) -> None:
    """Raise UsageError if the transport does not carry the scenario's stamps."""
    if scenario.stamp == "compact" and transport != "sse":
        raise UsageError(
            f"--transport {transport}: scenario '{scenario.name}' has stamp = \"compact\", which needs Server-Sent Events; leave "
            'out --transport, or use stamp = "readable"'
        )


def why_unfit(contender: Contender, scenario: Scenario) -> str | None:
    """Why the contender cannot be measured with the scenario, and what to do; None if it can."""
    if contender.endpoint is not None:
        return None  # see ComparedEndpoint.require_usable
    if scenario.sessions and contender.embedded:
        return (
            f"it generates events in each replica, so the sessions of scenario '{scenario.name}' would differ between replicas; "
            "choose a scenario with permanent topics"
        )
    size, most = largest_event_bytes(scenario), _largest_text_bytes(contender)
    if not most or size <= most:
        return None
    field = "topic_payload_bytes" if scenario.sessions else "payload_bytes"
    return f"an event has up to {size:,} bytes, and its protocol carries {most:,} at most; lower {field} by {size - most:,} or more"


def largest_event_bytes(scenario: Scenario) -> int:
    """The size of the scenario's largest published event, or a little more."""
    compact = scenario.stamp == "compact"
    if scenario.sessions:
        stamp_bytes = COMPACT_BYTES if compact else smallest_bytes([_NAME_OF_LAST_SESSION])
        return scenario.topic_payload_bytes[1] + stamp_bytes
    if compact:
        return scenario.payload_bytes + COMPACT_BYTES
    return scenario.payload_bytes or smallest_bytes(expand_topics(scenario.topics))


def _largest_text_bytes(contender: Contender) -> int:
    """The largest text that its adapter can publish; 0 if it declares none."""
    adapter, _ = open_endpoint(contender.url.replace("{", "").replace("}", ""), contender.delivery)
    return int(getattr(adapter, "max_text_bytes", 0) or getattr(adapter, "max_payload_bytes", 0))
