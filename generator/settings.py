"""The generator's settings."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from brokers.endpoint import with_absolute_files
from core.endpoint.request import TlsSettings
from core.join_settings import JoinSettings
from core.logs import LogFormat
from core.scenario import ScheduleKind, TopicOrder
from core.settings import FileToRead, FileToWrite, settings_config
from core.stamp import StampForm
from core.topics import DEFAULT_TOPIC, TopicList, expand_topics
from generator.schedule import NS_PER_S
from generator.share import Share, parse_share

LONGEST_S = 10.0**8
"""Three years: practically forever, and no overflow when seconds become nanoseconds."""
_RUN_NAME = re.compile(r"[A-Za-z0-9._-]{0,64}")


def _checked_share(text: str) -> str:
    parse_share(text)
    return text


def _checked_address(text: str) -> str:
    if text:
        parse_address(text)
    return text


def parse_address(text: str) -> tuple[str, int]:
    """Parse `HOST:PORT`; an IPv6 address has brackets.

    Raises:
        ValueError: it is something else.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError("not an address; give HOST:PORT, for instance 127.0.0.1:5560")
    return host.strip("[]"), int(port)


def _checked_name(text: str) -> str:
    if not _RUN_NAME.fullmatch(text):
        raise ValueError("not a name of a run; give up to 64 letters, digits, . _ and -")
    return text


def _checked_instant(text: str) -> str:
    if text and _instant(text).tzinfo is None:
        raise ValueError("an instant needs its time zone: Z at its end, or +01:00")
    return text


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("not an instant; give one such as 2026-11-30T06:00:00Z") from None


class GeneratorSettings(JoinSettings):
    """Publish stamped events on an open-loop schedule."""

    model_config = settings_config("python -m generator")

    broker_url: Annotated[str, AfterValidator(with_absolute_files)] = Field(
        "redis://127.0.0.1:6379", description="the broker's URL: redis:// nats:// amqp:// mqtt:// …"
    )
    delivery: Literal["at-most-once", "at-least-once"] | None = Field(
        None, description="the delivery promise (default: the adapter's first)"
    )
    broker_password_file: FileToRead = Field(
        None, description="file whose first line is the broker's password, instead of one in the URL"
    )
    publish: str = Field(
        "",
        description="publish by HTTP instead: 'POST http://HOST:PORT/PATH/{topic}', to any service that streams events",
    )
    header: SecretStr = Field(
        SecretStr(""),
        description="with publish: 'Name: value'; several on separate lines, such as Authorization: Bearer ...",
    )
    publish_body: str = Field(
        "{event}",
        description="with publish: the body, with {topic} and {event}; {event:text} within a JSON string, {event:form} in a form",
    )
    publish_connections: int = Field(
        8, ge=1, le=1024, description="with publish: number of connections; each topic uses one of them"
    )
    publish_pipeline: int = Field(
        16, ge=1, le=10_000, description="with publish: requests under way on a connection; 1: wait for each answer"
    )
    ca_file: FileToRead = Field(
        None, description="with publish to https://: PEM certificates to trust, instead of the system's"
    )
    sni: str = Field(
        "", description="with publish to https://: name that the server's certificate must have; default: the host"
    )
    client_cert: FileToRead = Field(
        None, description="with publish to https://: PEM certificate of the generator, if the server requires one"
    )
    client_key: FileToRead = Field(
        None, description="with publish to https://: PEM key of client_cert; default: in the same file"
    )
    rate_hz: float = Field(5.0, gt=0, le=1_000_000, description="events per second over all topics")
    payload_bytes: int = Field(200, ge=0, le=1_048_576, description="size of a published event; 0: only its stamp")
    stamp: StampForm = Field(
        "readable", description="readable: JSON; compact: a few bytes, in addition to payload_bytes"
    )
    topics: TopicList = Field(DEFAULT_TOPIC, description="topic names: events, or a,b, or room-{0..999}")
    topic_order: TopicOrder = Field(
        "turn", description="how topics are chosen: turn, or random without repeats in a burst"
    )
    schedule: ScheduleKind = Field("constant", description="when events are due: constant, poisson or burst")
    burst_events: int = Field(10, ge=1, le=10**9, description="events due at one instant under the burst schedule")
    seed: int = Field(1, ge=0, description="seed of the poisson schedule")
    warmup_s: float = Field(0.0, ge=0, le=LONGEST_S, description="seconds of phase warmup, before phase measure")
    duration_s: float = Field(0.0, ge=0, le=LONGEST_S, description="seconds of phase measure; 0: until stopped")
    hold: bool = Field(
        False,
        description="publish probes (one a second on each topic, 2,000 a second at most), start at SIGUSR1, end at the next",
    )
    processes: int = Field(
        1,
        ge=1,
        le=64,
        description="processes that publish a share of the topics each, on one schedule and in one report",
    )
    share: Annotated[str, AfterValidator(_checked_share)] = Field(
        "", description="publish only a share of the topics: 2/3, the second of three; the others publish the rest"
    )
    starts_at: Annotated[str, AfterValidator(_checked_instant)] = Field(
        "",
        description="instant at which the schedule starts, the same for all shares: 2026-11-30T06:00:00Z; empty: now",
    )
    join_at: Annotated[str, AfterValidator(_checked_address)] = Field(
        "",
        description="with processes: HOST:PORT on which to wait for that many generators on other hosts, which join; this one only conducts",
    )
    run_name: Annotated[str, AfterValidator(_checked_name)] = Field(
        "", description="with join_at, and for those that join: the name of the run; others are rejected"
    )
    status: FileToWrite = Field(
        None,
        description="with join_at: write who has joined, with CPU and memory, to this JSON file five times a second",
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="port of GET /metrics, for Prometheus; each further process uses the next; 0: none",
    )
    metrics_host: str = Field(
        "127.0.0.1", description="address on which metrics are served; 0.0.0.0 for every interface"
    )
    log_format: LogFormat = Field("text", description="text, or json: one object per line, with time zone")
    sessions: FileToRead = Field(
        None, description="JSON file with the rules of sessions, which replace topics, rate and schedule"
    )
    replicas: str = Field(
        "",
        description="base URLs of the replicas, comma-separated, if their clocks differ from this host's: the clocks are compared",
    )
    report: FileToWrite = Field(None, description="write what was published to this JSON file at the end")

    def tls(self) -> TlsSettings:
        """TLS to the service that events are published to."""
        return TlsSettings(
            ca_file=str(self.ca_file or ""),
            server_name=self.sni,
            cert_file=str(self.client_cert or ""),
            key_file=str(self.client_key or ""),
        )

    def replica_urls(self) -> list[str]:
        """The replicas' base URLs."""
        return [url.strip() for url in self.replicas.split(",") if url.strip()]

    def its_share(self) -> Share:
        """The share of the topics that it publishes."""
        return parse_share(self.share)

    def require_topics(self) -> None:
        """Raise UsageError if a process would have no topic to publish to. Sessions never end, so each process has some."""
        if not self.sessions:
            for share in self.its_share().split(self.processes):
                share.topics_of(expand_topics(self.topics))

    def starts_ns(self) -> int:
        """The instant at which the schedule starts, if one is given; otherwise 0."""
        return round(_instant(self.starts_at).timestamp() * NS_PER_S) if self.starts_at else 0

    def of_process(self, share: Share, number: int) -> GeneratorSettings:
        """The settings of the process with that share, the `number`-th counted from 0: its report goes to whoever started it."""
        metrics_port = self.metrics_port + number if self.metrics_port else 0
        return self.model_copy(
            update={"processes": 1, "share": str(share), "report": None, "metrics_port": metrics_port}
        )
