"""The server's settings."""

from __future__ import annotations

import re
import socket
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from brokers.endpoint import with_absolute_files
from core.errors import UsageError
from core.logs import LogFormat
from core.settings import FileToRead, settings_config
from core.token import check_token, read_token_file
from core.topics import DEFAULT_TOPIC, expand_topics
from server.origins import read_origins

KIB, MIB, GIB = 1024, 1024**2, 1024**3
LONGEST_S = 10.0**8
"""Three years: Practically forever, and no overflow when seconds become nanoseconds."""
MOST = 10**9
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")


class ServerSettings(BaseSettings):
    """Serve a broker's events over Server-Sent Events: GET /sse, /clock, /stats, /metrics, /healthz, /readyz, and a page at /."""

    model_config = settings_config("python -m server")

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for every interface")
    port: int = Field(8000, ge=0, le=65_535, description="port to listen on; 0 takes a free one and logs it")
    root_path: str = Field("", description="prefix of every path, such as /events, if the proxy in front keeps it")
    server: str = Field("", max_length=200, description="this replica's name in its events (default: HOSTNAME:PORT)")

    broker_url: Annotated[str, AfterValidator(with_absolute_files)] = Field(
        "memory://", description="the broker's URL: redis:// nats:// amqp:// mqtt:// …; memory:// uses no broker"
    )
    delivery: Literal["at-most-once", "at-least-once"] | None = Field(
        None, description="the delivery promise (default: the adapter's first)"
    )
    broker_password_file: FileToRead = Field(
        None, description="file whose first line is the broker's password, instead of one in the URL"
    )
    ready_grace_s: float = Field(
        2.0, ge=0, le=LONGEST_S, description="how long /readyz stays 200 after the link to the broker is lost"
    )
    generate: bool = Field(
        False, description="run the generator in this process too, with its own settings; memory:// always does"
    )

    topics: str = Field(
        DEFAULT_TOPIC,
        description="topics subscribed from the start, others when their first client connects: a,b or room-{0..9}",
    )
    topic_linger_s: float = Field(
        30.0, ge=0, le=LONGEST_S, description="how long a topic without clients stays subscribed, with its history"
    )
    max_topics: int = Field(
        20_000, ge=1, le=MOST, description="topics subscribed at once; a client that wants more gets 503"
    )
    max_topics_per_client: int = Field(32, ge=1, le=MOST, description="topics per client; more are refused with 400")
    max_clients: int = Field(
        16_384, ge=1, le=MOST, description="concurrent clients; a further one gets 503 with Retry-After"
    )
    max_event_bytes: int = Field(
        256 * KIB, ge=1, le=GIB, description="larger events from the broker are counted and skipped"
    )

    retry_ms: int = Field(
        1000,
        ge=0,
        le=MOST,
        description="how long clients wait before they reconnect, sent as retry:, ±50% at random",
    )
    retry_after_s: int = Field(2, ge=0, le=MOST, description="Retry-After of a 503, ±50% at random")
    stop_spread_s: float = Field(
        2.0,
        ge=0,
        le=LONGEST_S,
        description="at SIGTERM the streams end one after the other over this time, the oldest first, so that not all clients move at once",
    )
    max_stream_age_s: float = Field(
        0.0,
        ge=0,
        le=LONGEST_S,
        description="age at which streams end, ±25%, so that replicas rebalance after a deployment; 0: never",
    )
    heartbeat_s: float = Field(15.0, gt=0, le=LONGEST_S, description="a comment goes to every client this often")
    client_buffer_bytes: int = Field(
        MIB, ge=16 * KIB, le=GIB, description="unsent bytes at which a client is too slow and is disconnected"
    )
    send_buffer_bytes: int = Field(
        128 * KIB,
        ge=0,
        le=GIB,
        description="the kernel's send buffer of a connection (the kernel doubles it); 0 lets it grow",
    )
    batch_sends: bool = Field(
        True, description="send to many clients with one system call (io_uring), if the kernel allows it"
    )
    stall_timeout_s: float = Field(
        30.0, gt=0, le=LONGEST_S, description="how long a client may read nothing of its replay"
    )

    history_events: int = Field(2_000, ge=0, le=MOST, description="events kept for each topic, for clients that resume")
    history_bytes: int = Field(
        4 * MIB, ge=0, le=1024 * GIB, description="bytes kept for each topic, for clients that resume"
    )
    history_age_s: float = Field(
        120.0, ge=0, le=LONGEST_S, description="maximum age of events kept for clients that resume"
    )
    history_total_bytes: int = Field(
        256 * MIB, ge=0, le=1024 * GIB, description="bytes kept over all topics, for clients that resume"
    )
    resume_overlap_s: float = Field(
        1.0,
        ge=0,
        le=LONGEST_S,
        description="how far back to repeat events whose place an id does not give (other topics, other generators)",
    )

    token_file: FileToRead = Field(None, description="file whose first line is the token, instead of FANBENCH_TOKEN")
    token: SecretStr | None = Field(
        None,
        validate_default=True,
        description="bearer token that /sse, /ws, /stats and /metrics require; set it in the environment",
    )
    cors_origins: str = Field(
        "", description="origins whose pages may read the streams, comma-separated, or *; none by default"
    )
    head_timeout_s: float = Field(
        10.0, gt=0, le=LONGEST_S, description="a connection whose request is not complete by then is closed"
    )
    access_log: bool = Field(False, description="log each request, without its token")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="lowest level that is logged")
    log_format: LogFormat = Field("text", description="text, or json: one object per line, with time zone")

    @field_validator("delivery", "token", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        # Compose passes an unset variable as an empty one.
        return None if value == "" else value

    @field_validator("token")
    @classmethod
    def _token_can_be_sent(cls, token: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        file = info.data.get("token_file")
        if file is not None:
            if token is not None:
                raise ValueError(f"token_file={file} names another token; leave one out")
            token = SecretStr(read_token_file(file))
        if token is not None:
            check_token(token.get_secret_value())
        return token

    @field_validator("topics")
    @classmethod
    def _topics_can_be_expanded(cls, text: str) -> str:
        try:
            expand_topics(text) if text else None
        except UsageError as error:
            raise ValueError(str(error)) from error
        return text

    @field_validator("server")
    @classmethod
    def _name_can_be_sent(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError("a name must have only printable characters")
        return name

    @field_validator("root_path")
    @classmethod
    def _prefix_is_a_path(cls, path: str) -> str:
        if path and not _PREFIX.fullmatch(path):
            raise ValueError(
                "a prefix begins with a slash, ends without one, and has nothing to encode; write it like /events"
            )
        return path

    @field_validator("cors_origins")
    @classmethod
    def _origins_can_match(cls, text: str) -> str:
        read_origins(text)
        return text

    @field_validator("client_buffer_bytes")
    @classmethod
    def _buffer_holds_an_event(cls, size_bytes: int, info: ValidationInfo) -> int:
        event_bytes = info.data.get("max_event_bytes", 0)
        if size_bytes < event_bytes:
            raise ValueError(f"it cannot hold one event of max_event_bytes={event_bytes}; raise it, or lower that")
        return size_bytes

    def preset_topics(self) -> list[str]:
        """The topics to subscribe at the start; none for an empty setting."""
        return expand_topics(self.topics) if self.topics else []

    def server_name(self, port: int) -> str:
        """This replica's name in its events."""
        return self.server or f"{socket.gethostname()}:{port}"
