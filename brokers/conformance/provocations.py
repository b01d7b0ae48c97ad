"""Operations on the broker that some promises need: one set of functions for each contender.

They stand in the modules provoke_*.py, by the name of the contender. A stranger's adapter gives its own as `provocations` of its subclass of Conformance.
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
    """A broker whose user may use some topics and no others."""

    url: str = field(repr=False)
    allowed: str
    """What the topics begin with that this user may publish on and subscribe to; it ends where a word does."""
    publish_is_answered: bool = True
    """Whether the broker answers a publish, and so can refuse one; MQTT's QoS 0 has no answer."""


@dataclass(frozen=True, slots=True)
class Provocations:
    """Each is given the endpoint whose `run_name` nobody else has, so that it finds what an adapter created with it."""

    restricted: Callable[[Path], AbstractContextManager[Restricted]] | None = None
    """Runs a broker in this folder whose user has restricted rights."""
    vanish: Mapping[str, Callable[[Endpoint], Awaitable[None]]] = field(default_factory=dict)
    """By way: takes a consumer's own thing off the broker (kills its client, deletes its queue, consumer or stream)."""
    elsewhere: Callable[[Endpoint], AbstractAsyncContextManager[None]] | None = None
    """Within the block the broker answers "not here any more" on open connections, as after a demotion."""
    leftovers: Callable[[Endpoint], Awaitable[list[str]]] | None = None
    """The names of all at the broker that begin with the endpoint's run name."""
    options: Mapping[str, str] = field(default_factory=dict)
    """URL options by which `vanish` and `elsewhere` find what is the adapter's; `{run_name}` stands for the run's name."""
    inapplicable: Mapping[str, str] = field(default_factory=dict)
    """By field: why there is no such thing with this product, for good."""

    @property
    def features(self) -> set[str]:
        """The names of those that are given."""
        return {name for name in FIELDS if getattr(self, name)}

    def options_of(self, run_name: str) -> dict[str, object]:
        """The options, for a run of this name."""
        return {name: value.format(run_name=run_name) for name, value in self.options.items()}


FIELDS = ("restricted", "vanish", "elsewhere", "leftovers")
NOTHING = Provocations()
Pending = Mapping[str, frozenset[str]]
"""By contender, the tests of promises that are not kept yet."""


def provocations_of(contender: str) -> Provocations:
    """Those of a contender that has a name; nothing for a broker that is given by its URL."""
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
