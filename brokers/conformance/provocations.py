"""Operations on the broker that some promises need, as one set of functions for each contender.

The modules provoke_*.py contain them, by the contender's name. A foreign adapter sets its own as `provocations` in its
subclass of Conformance.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brokers.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Restricted:
    """A broker with a user who may use only some topics."""

    url: str = field(repr=False)
    allowed: str
    """The prefix of the topics that this user may use; it ends at a word boundary."""
    publish_is_answered: bool = True
    """Whether the broker answers a publish, and so can refuse it; MQTT's QoS 0 has no answer."""


@dataclass(frozen=True, slots=True)
class Provocations:
    """Each gets the endpoint with a unique `run_name`, so that it finds what an adapter created."""

    restricted: Callable[[Path], AbstractContextManager[Restricted]] | None = None
    """Runs a broker in this folder with a restricted user."""
    vanish: Mapping[str, Callable[[Endpoint], Awaitable[None]]] = field(default_factory=dict)
    """Functions by method: each removes a consumer at the broker (kills its client, deletes its queue or stream)."""
    elsewhere: Callable[[Endpoint], AbstractAsyncContextManager[None]] | None = None
    """Within the block the broker answers "not here any more" on open connections, as after a demotion."""
    leftovers: Callable[[Endpoint], Awaitable[list[str]]] | None = None
    """The names at the broker that begin with the endpoint's run name."""
    options: Mapping[str, str] = field(default_factory=dict)
    """URL options that let `vanish` and `elsewhere` find the adapter's objects; `{run_name}` is the run's name."""
    inapplicable: Mapping[str, str] = field(default_factory=dict)
    """For each field, the reason why this product will never have it."""

    @property
    def features(self) -> set[str]:
        """The names of those that are set."""
        return {name for name in FIELDS if getattr(self, name)}

    def options_of(self, run_name: str) -> dict[str, object]:
        """The options, for a run of this name."""
        return {name: value.format(run_name=run_name) for name, value in self.options.items()}


FIELDS = ("restricted", "vanish", "elsewhere", "leftovers")
NOTHING = Provocations()
Pending = Mapping[str, frozenset[str]]
"""The tests of promises that are not kept yet, by contender."""


def provocations_of(contender: str) -> Provocations:
    """The provocations of a named contender; none for a broker at a URL."""
    found: Provocations | None = _by_contender().get(contender)
    return NOTHING if found is None else found


def pending_of(contender: str) -> frozenset[str]:
    """The tests of promises that this contender does not keep yet."""
    return _pending().get(contender, frozenset())


def _by_contender() -> dict[str, Provocations]:
    from brokers.conformance import provoke_memory

    families = (provoke_memory, *_networked())
    return {name: found for family in families for name, found in family.PROVOCATIONS.items()}


def _pending() -> dict[str, frozenset[str]]:
    return {name: tests for family in _networked() for name, tests in family.PENDING.items()}


def _networked() -> tuple[Any, ...]:
    from brokers.conformance import provoke_amqp, provoke_mqtt, provoke_nats, provoke_postgres, provoke_redis

    return (provoke_redis, provoke_amqp, provoke_nats, provoke_mqtt, provoke_postgres)
