"""What the conductor of a schedule and the generators that join it tell each other: one JSON document on a line."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

from core.contracts.codec import Document
from core.contracts.load_status import WorkerUsage
from core.contracts.session_rules import SessionRules
from core.scenario import ScheduleKind, TopicOrder
from core.stamp import StampForm
from generator.settings import GeneratorSettings

LONGEST_LINE_BYTES = 64 * 1024 * 1024
"""The report of a million topics has fewer."""
ALIVE_EVERY_S = 0.2
SILENT_S = 15.0
"""A generator that is not heard of for this long is lost, with its host or the network."""

Nonce = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")]
"""What generator/join_proof.py draws; empty in all but the first message of each side."""


class GeneratorTask(Document):
    """The settings of the conductor that its members follow."""

    broker_url: str
    delivery: Literal["at-most-once", "at-least-once"] | None
    rate_hz: float
    payload_bytes: int
    stamp: StampForm
    topics: str
    topic_order: TopicOrder
    schedule: ScheduleKind
    burst_events: int
    seed: int
    warmup_s: float
    duration_s: float
    hold: bool
    replicas: str

    @classmethod
    def of(cls, settings: GeneratorSettings) -> GeneratorTask:
        """What these settings say."""
        return cls.model_validate(settings.model_dump(include=set(cls.model_fields)))


class ConductorTells(Document):
    """Conductor to member: `hello` is the first message of a connection, `welcome` or `rejected` answers the member's `joined`."""

    version: Literal[2] = 2
    what: Literal["hello", "welcome", "rejected", "task", "start", "end"]
    nonce: Nonce = ""
    """Of `hello`."""
    proof: str = ""
    """Of `welcome`: that the conductor knows the secret; empty if it has none."""
    reason: str = ""
    """Why it was rejected, and what to do."""
    task: GeneratorTask | None = None
    share: str = ""
    stream: str = ""
    rules: SessionRules | None = None
    starts_ns: int = 0
    """By the conductor's clock, which shows `now_ns` when this is sent."""
    now_ns: int = 0


class MemberTells(Document):
    """Member to conductor. `alive` comes all the time, once it is welcome."""

    version: Literal[2] = 2
    what: Literal["joined", "alive", "connected", "report", "error"]
    nonce: Nonce = ""
    """Of `joined`."""
    proof: str = ""
    """Of `joined`: that the member knows the secret; empty if it has none."""
    text: str = ""
    """The name of the run, the report, or the error."""
    transient: bool = False
    usage: WorkerUsage | None = None
