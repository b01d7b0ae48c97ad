"""The workload of a run, as a value and as a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.contracts.session_rules import Lifetimes, Rates, SessionRules, Share, Sizes
from core.errors import UsageError, nearest
from core.fault import Fault
from core.paths import absolute_path, read_small_text
from core.plain_text import plain
from core.session_fields import OF_RULES, refuse_ignored
from core.stamp import StampForm, smallest_bytes
from core.token_sessions import mean_lifetime_s
from core.topics import TopicList, expand_topics

MAX_TOML_BYTES = 16_384
"""The parser takes seconds for 64 KiB of dots."""
FIXED_S = 3.5
"""Duration of a run without its phases and connects, on an idle machine: mostly the broker's start."""
MAX_RATE_HZ = 1_000_000
TopicOrder = Literal["turn", "random"]
ScheduleKind = Literal["constant", "poisson", "burst"]


class Scenario(BaseModel):
    """The workload of each run; every field can be overridden on the command line."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = "broadcast"
    description: str = ""
    clients: int = Field(500, ge=1, description="SSE connections, spread evenly over the replicas")
    replicas: int = Field(2, ge=1, le=64, description="SSE server processes")
    rate_hz: float = Field(20.0, gt=0, le=MAX_RATE_HZ, description="events per second over all topics")
    payload_bytes: int = Field(
        200,
        ge=0,
        le=1_048_576,
        description="size of a published event, including the stamp unless it is compact; 0: only the stamp",
    )
    stamp: StampForm = Field(
        "readable", description="readable: JSON; compact: up to 40 bytes in addition to payload_bytes"
    )
    topics: TopicList = Field("events", description="topic names: events · a,b · room-{0..999}")
    topic_order: TopicOrder = Field(
        "turn", description="how topics are chosen: turn, or random without repeats in a burst"
    )
    topic_skew: float = Field(0.0, ge=0, le=5, description="Zipf exponent of clients over topics; 0 spreads evenly")
    schedule: ScheduleKind = Field("constant", description="when events are due: constant, poisson or burst")
    burst_events: int = Field(10, ge=1, description="events due at one instant under the burst schedule")
    connect_hz: float = Field(500.0, gt=0, le=1_000_000, description="connections opened per second")
    warmup_s: float = Field(2.0, ge=0, le=1_000_000, description="seconds of events that do not count")
    duration_s: float = Field(8.0, gt=0, le=1_000_000, description="seconds of events that count")
    drain_s: float = Field(5.0, ge=0, le=1_000_000, description="seconds to wait for late events before they are lost")
    rounds: int = Field(
        0, ge=0, le=1000, description="runs of each contender, in shuffled order; 0: until all pairs are settled"
    )
    load_processes: int = Field(0, ge=0, le=256, description="Locust processes; 0: as many as the load needs")
    generator_processes: int = Field(
        1, ge=1, le=64, description="processes of the generator, which publish a share of the topics each"
    )
    seed: int = Field(1, ge=0, description="seed of the order of runs and of random schedules")
    topic_arrivals_hz: float = Field(
        0.0,
        ge=0,
        le=10_000,
        description="sessions that begin per second, each a short-lived topic; 0: topics are permanent",
    )
    topic_lifetime_s: Lifetimes = Field((5.0, 60.0), description="shortest and longest session, in seconds")
    topic_rate_hz: Rates = Field((30.0, 100.0), description="lowest and highest event rate of a session")
    topic_payload_bytes: Sizes = Field(
        (4, 40), description="smallest and largest payload of a session's event, without its stamp"
    )
    clients_per_topic: int = Field(1, ge=1, le=16, description="clients of each session from its start")
    second_tab: Share = Field(0.0, description="share of the sessions that get another client half-way")
    late_join: Share = Field(0.0, description="share of the clients that connect in the middle of the session")
    resume: Share = Field(0.0, description="share of the clients that resume at another replica, by their last id")
    leave_early: Share = Field(0.0, description="share of the clients that leave before the end of the session")
    faults: tuple[Fault, ...] = Field((), description="what breaks within the measured phase; see docs/faults.md")

    @model_validator(mode="before")
    @classmethod
    def _what_follows_from_sessions(cls, fields: object) -> object:
        """With sessions, the rate and the number of clients follow from the sessions: their averages at any time."""
        if not isinstance(fields, dict) or not (rules := _rules_of(fields)):
            return fields
        live = rules.arrivals_hz * mean_lifetime_s(rules)
        rate_hz = max(0.1, round(live * sum(rules.rate_hz) / 2, 1))
        if rate_hz > MAX_RATE_HZ:
            raise ValueError(
                f"topic_arrivals_hz = {rules.arrivals_hz:g}: {live:,.0f} sessions at a time would publish {rate_hz:,.0f} events/s, "
                f"and {MAX_RATE_HZ:,} is the maximum; lower it, topic_lifetime_s or topic_rate_hz"
            )
        return fields | {"rate_hz": rate_hz, "clients": max(1, round(live * (rules.clients + rules.second_tab / 2)))}

    @field_validator("name", "description")
    @classmethod
    def _can_be_shown(cls, text: str) -> str:
        if plain(text) != text:
            raise ValueError("it has control characters, which a terminal would obey; leave them out")
        return text

    @model_validator(mode="after")
    def _payload_holds_its_stamp(self) -> Scenario:
        if self.stamp == "compact" or not self.payload_bytes or self.topic_arrivals_hz:
            return self
        least = smallest_bytes(expand_topics(self.topics))
        if self.payload_bytes < least:
            raise ValueError(
                f"payload_bytes = {self.payload_bytes}: the stamp of an event takes {least}; give {least} or more, "
                'or stamp = "compact"'
            )
        return self

    @model_validator(mode="after")
    def _each_generator_has_a_topic(self) -> Scenario:
        if self.generator_processes == 1 or self.topic_arrivals_hz:
            return self
        topics = len(expand_topics(self.topics))
        if self.generator_processes > topics:
            raise ValueError(
                f"generator_processes = {self.generator_processes}: there are {topics} topics, and one process publishes all "
                f"events of a topic, in their order; give {topics} at most, or more topics"
            )
        return self

    @property
    def run_s(self) -> float:
        """Approximate duration of a run in seconds, including the start and the end of its programs."""
        return self.warmup_s + self.duration_s + self.clients / self.connect_hz + FIXED_S

    def broken_run_s(self, fault: Fault) -> float:
        """Approximate duration in seconds of a run with that fault, which includes its undoing and its tail."""
        return self.run_s + max(0.0, fault.at_s + fault.takes_s - self.duration_s)

    @property
    def sessions(self) -> SessionRules | None:
        """The rules of its sessions; None if its topics are permanent."""
        return _rules_of(self.model_dump())

    def with_fields(self, **fields: object) -> Scenario:
        """Return this scenario with some fields replaced; None keeps a field.

        Raises:
            UsageError: a field is unknown, its value out of range, or it has no meaning for sessions or without them.
        """
        given = {name: value for name, value in fields.items() if value is not None}
        fields = self.model_dump() | given
        refuse_ignored(given, fields, "the command line", "copy the scenario's file, and change that")
        return parse_scenario(fields, where="the command line")


def _rules_of(fields: Mapping[str, object]) -> SessionRules | None:
    """The session rules in these fields; None without sessions, or if a field is wrong, which is reported later."""
    if not fields.get("topic_arrivals_hz"):
        return None
    known = {name: fields.get(field, Scenario.model_fields[field].default) for name, field in OF_RULES.items()}
    try:
        return SessionRules.model_validate(known)
    except ValidationError:
        return None


def parse_scenario(fields: Mapping[str, object], where: str) -> Scenario:
    """A scenario from plain values; `where` names their source in errors.

    Raises:
        UsageError: naming the field, the value, the reason, and for an unknown field the nearest known one.
    """
    for name in fields:
        if name not in Scenario.model_fields:
            raise UsageError(f"{where}: unknown scenario field '{name}'; {nearest(name, Scenario.model_fields)}")
    try:
        return Scenario.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        if not field:  # a rule over several fields, whose message names them
            raise UsageError(f"{where}: {reason}") from error
        whole = str(first["loc"][0])  # a wrong number in a list is explained by the list's field
        hint = Scenario.model_fields[whole].description if whole in Scenario.model_fields else ""
        raise UsageError(f"{where}: {field} = {first['input']!r}: {reason}. {whole}: {hint}") from error


def load_scenario(name_or_path: str, folder: Path) -> Scenario:
    """The scenario `name` in `folder`, or the TOML file at a path.

    Raises:
        UsageError: there is no such file, it is not TOML, or a field is unknown, out of range, or without a meaning.
    """
    path = absolute_path(name_or_path)
    if path.suffix != ".toml":
        path = folder / f"{name_or_path}.toml"
        if not path.is_file():
            known = [file.stem for file in folder.glob("*.toml")]
            raise UsageError(f"no scenario '{name_or_path}'; {nearest(name_or_path, known)}")
    fields = read_toml(path, "scenario", "scenarios/broadcast.toml")
    refuse_ignored(fields, fields, str(path), "leave it out")
    return parse_scenario({"name": path.stem} | fields, where=str(path))


def read_toml(path: Path, what: str, model: str) -> dict[str, object]:
    """Read a small TOML file; an error calls it `what` and names an example.

    Raises:
        UsageError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(read_small_text(path, MAX_TOML_BYTES))
    except OSError as error:
        raise UsageError(f"{what} {path}: {error.strerror}; give a TOML file such as {model}") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{what} {path} is not TOML: {error}; see {model} for an example") from error
    except ValueError as error:
        raise UsageError(f"{what} {path}: {error}; give a TOML file such as {model}") from error
