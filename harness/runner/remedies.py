"""How to lower or raise the load of a scenario: by options or, with sessions, by the fields from which rate and clients follow."""

from __future__ import annotations

from core.scenario import Scenario
from core.session_fields import BEGINS

_THERE = "in a copy of the scenario's file"


def lower(scenario: Scenario, options: str) -> str:
    """The advice for too much load; `options` are those that lower it with permanent topics, such as `--clients or --rate`."""
    return f"lower {BEGINS} {_THERE}" if scenario.topic_arrivals_hz else f"lower {options}"


def longer_or_more(scenario: Scenario) -> str:
    """The advice if no event was due."""
    return f"raise --duration, or {BEGINS} {_THERE}" if scenario.topic_arrivals_hz else "raise --rate or --duration"
