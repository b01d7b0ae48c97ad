"""A user's needs: options of `fanbench choose`, or a TOML file with the same names."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import UsageError, nearest
from core.scenario import Scenario, ScheduleKind, read_toml
from core.stamp import smallest_bytes
from core.topics import MAX_TOPICS, expand_topics, topic_pattern
from harness.analysis.slo import Slo
from harness.choose.have import program_named


class Needs(BaseModel):
    """Each given field rules something out or orders the rest; a missing field is not checked."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    clients: int | None = Field(None, ge=1, description="SSE clients over all replicas, for instance 2000")
    rate_hz: float | None = Field(
        None, gt=0, le=1_000_000, description="events per second over all topics, up to 1,000,000, for instance 20"
    )
    replicas: int | None = Field(None, ge=1, le=64, description="SSE server processes, up to 64, for instance 2")
    payload_bytes: int | None = Field(
        None, ge=1, le=1_048_576, description="size of an event, up to 1,048,576, for instance 200"
    )
    topics: int = Field(
        1, ge=1, le=MAX_TOPICS, description="topics that the clients are spread over, up to 100,000, for instance 100"
    )
    schedule: ScheduleKind = Field("constant", description="when events are due: constant, poisson or burst")
    promise: Literal["at-most-once", "at-least-once"] | None = Field(None, description="at-most-once or at-least-once")
    replay: bool = Field(False, description="whether a restarted replica must get earlier events: true or false")
    slo: str = Field("", description="what must hold, for instance 'p99<100ms, lost=0'")
    have: tuple[str, ...] = Field((), description="programs that you already run, for instance ['redis']")
    memory_mb: float | None = Field(None, gt=0, description="memory that the broker may use, in MB, for instance 200")

    nodes: Literal[1, 3] = Field(1, description="nodes that the broker runs on: 1 or 3")
    max_silence: str = Field(
        "", description="how long clients may hear nothing when a broker or a node dies, for instance '5s'"
    )
    deploys_daily: float = Field(0, ge=0, description="how many times a day the replicas are restarted, for instance 3")

    def objective(self) -> Slo | None:
        """The parsed objective; None without one."""
        return Slo.parse(self.slo) if self.slo else None

    @property
    def programs(self) -> frozenset[str]:
        """The programs in `have` that have an adapter, by fanbench's names."""
        return frozenset(program for word in self.have if (program := program_named(word)))

    def deliveries_hz(self, scenario: Scenario) -> float:
        """Deliveries per second at the needed load; the scenario provides missing values."""
        clients = self.clients or scenario.clients
        return clients * (self.rate_hz or scenario.rate_hz) / self.topics

    def workload(self, scenario: Scenario) -> dict[str, tuple[float, float]]:
        """Each requested load dimension, as (the scenario's value, the needed value)."""
        dimensions: dict[str, tuple[float, float]] = {}
        if self.clients is not None:
            replicas = self.replicas or scenario.replicas
            dimensions["clients per replica"] = (scenario.clients / scenario.replicas, self.clients / replicas)
        if self.replicas is not None:
            dimensions["replicas"] = (scenario.replicas, self.replicas)
        if self.rate_hz is not None:
            dimensions["rate_hz"] = (scenario.rate_hz, self.rate_hz)
        if self.payload_bytes is not None:
            dimensions["payload_bytes"] = (max(1, scenario.payload_bytes), max(self.payload_bytes, self.least_bytes))
        return dimensions

    @property
    def least_bytes(self) -> int:
        """The smallest event that can be measured, which stands for smaller ones: its stamp."""
        return _least_bytes(self.topics)

    def has_shape_of(self, scenario: Scenario) -> bool:
        """Whether a scenario has the needed number of topics and schedule; sessions are another shape."""
        return (
            not scenario.topic_arrivals_hz
            and len(expand_topics(scenario.topics)) == self.topics
            and scenario.schedule == self.schedule
        )

    def relation(self, scenario: Scenario) -> Literal["same", "lighter", "heavier", "other"]:
        """How a scenario's load compares with the needed one; `other` if the shapes differ."""
        if not self.has_shape_of(scenario):
            return "other"
        pairs = self.workload(scenario).values()
        if all(measured == needed for measured, needed in pairs):
            return "same"
        if all(measured <= needed for measured, needed in pairs):
            return "lighter"
        return "heavier" if all(measured >= needed for measured, needed in pairs) else "other"


@functools.cache
def _least_bytes(topics: int) -> int:
    return smallest_bytes(expand_topics(topic_pattern(topics)))


def parse_needs(file: Path | None, given: Mapping[str, object]) -> Needs:
    """Read needs from a TOML file. The options `given` override it, except None, False and an empty text, which
    leave a field unchanged.

    Raises:
        UsageError: the file cannot be read, a field is unknown or out of range, or the objective is invalid.
    """
    fields = read_toml(file, "needs", "docs/needs.toml") if file else {}
    where = str(file) if file else "fanbench choose"
    fields |= {name: value for name, value in given.items() if value is not None and value is not False and value != ""}
    for name in fields:
        if name not in Needs.model_fields:
            raise UsageError(f"{where}: unknown need '{name}'; {nearest(name, Needs.model_fields)}")
    try:
        needs = Needs.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        hint = Needs.model_fields[name].description
        raise UsageError(f"{where}: {name} = {first['input']!r}: {first['msg']}. {name}: {hint}") from error
    needs.objective()
    return needs
