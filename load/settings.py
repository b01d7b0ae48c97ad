"""The options of the Locust suite, checked: each error names the value, the reason and the next step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from core.contracts.codec import read
from core.contracts.session_rules import SessionRules
from core.endpoint.origin import Origin, parse_origin
from core.endpoint.request import Method
from core.errors import UsageError
from core.paths import absolute_path, file_to_write
from core.stamp import StampForm
from core.token import check_token
from core.topics import DEFAULT_TOPIC, TopicList, expand_topics
from load.connect_throttle import CONNECT_TIMEOUT_S
from load.document_files import regular_file

File = Annotated[Path | None, BeforeValidator(lambda path: file_to_write(path) if path else None)]
RegularFile = Annotated[Path | None, BeforeValidator(lambda path: regular_file(path) if path else None)]
ReadFile = Annotated[str, AfterValidator(lambda path: str(absolute_path(path)) if path else "")]


class LoadSettings(BaseModel):
    """The suite's options, from FANBENCH_LOAD_* or the command line."""

    model_config = ConfigDict(frozen=True)

    replicas: str = Field("", description="base URLs of the replicas, comma-separated; default: --host")
    topic: TopicList = Field(DEFAULT_TOPIC, description="topics, one per client: events · a,b · room-{0..999}")
    stamp: StampForm = Field("readable", description="form of the events' stamps: readable or compact")
    sessions: RegularFile = Field(
        None,
        description="JSON file with the rules of sessions; users visit them from its starts_ns on, or after the order 'begin'",
    )
    topic_skew: float = Field(0.0, ge=0, le=5, description="Zipf exponent of clients over topics; 0 spreads evenly")
    wait: float = Field(0.0, ge=0, le=600, description="seconds to wait at the start until every replica is ready")
    drain: float = Field(
        1.0, ge=0, le=600, description="seconds to wait at the end for events that some clients have and others lack"
    )
    connect_timeout: float = Field(
        CONNECT_TIMEOUT_S, ge=0.1, le=600, description="seconds without an answer after which a client connects anew"
    )
    out: RegularFile = Field(None, description="file to write the result to, as JSON, at the end")
    status: RegularFile = Field(None, description="file to write the current numbers to, five times a second")
    control: File = Field(
        None, description="file to follow for orders to mark a fault, or to cut, stall or churn clients"
    )
    token: Annotated[str, AfterValidator(check_token)] = Field("", description="bearer token for /sse")
    source_addresses: str = Field(
        "",
        description="addresses of this host for outgoing connections, comma-separated: each has 28,232 ports to a replica",
    )
    run_name: str = Field("", description="name of the run: a master accepts only workers with the same name")
    warmup: float = Field(
        0.0, ge=0, le=3600, description="seconds after the start of the last client before events count"
    )

    path: str = Field(
        "", description="path of the stream, such as /events/{topic}; default: that of fanbench's replicas"
    )
    query: tuple[str, ...] = Field((), description="part of the query, as name=value; may be given several times")
    header: tuple[str, ...] = Field((), description="header, as 'Name: value'; may be given several times")
    cookie: tuple[str, ...] = Field((), description="cookie, as name=value; may be given several times")
    method: Method = Field("GET", description="GET, or POST for an answer that is streamed and ends")
    body: str = Field("", description="JSON body of a POST, or @FILE; {topic} and {user} are filled in")
    pause: float = Field(
        1.0, ge=0, le=3600, description="seconds between the end of an answer to a POST and the client's next request"
    )
    tokens: ReadFile = Field("", description="file of bearer tokens, one per line: client n sends the token of line n")
    dialect: str = Field("", description="describes the events: the name of one of fanbench's dialects, or a TOML file")
    ca_file: ReadFile = Field("", description="PEM certificates to trust for https://, instead of the system's")
    sni: str = Field("", description="name that the server's certificate must have; default: the host")
    client_cert: ReadFile = Field("", description="PEM certificate of the clients, if the server requires one")
    client_key: ReadFile = Field("", description="PEM key of --client-cert; default: in the same file")

    fail_if: tuple[str, ...] = Field((), description="fail if FIGURE>NUMBER, such as p99_ms>100 or lost>0; repeatable")

    @property
    def topics(self) -> list[str]:
        """The topics by name."""
        return expand_topics(self.topic)

    def rules(self) -> SessionRules | None:
        """The rules of sessions, if there are sessions.

        Raises:
            UsageError: there is no such file, or nothing says when they begin. DocumentError: its content is wrong.
        """
        if self.sessions is None:
            return None
        rules = read(SessionRules, self.sessions)
        if rules is None:
            raise UsageError(f"--sessions {self.sessions}: no such file; docs/scenarios.md has an example")
        if not rules.starts_ns and self.control is None:
            raise UsageError(
                f"--sessions {self.sessions}: nothing says when the sessions begin, so no user would visit one; write starts_ns into "
                "the file, the same for the generator, or give --control FILE and the order begin"
            )
        return rules

    def origins(self, host: str | None) -> list[Origin]:
        """The servers' addresses.

        Raises:
            UsageError: there is none, or one is not an http:// or https:// URL.
        """
        urls = [url.strip() for url in (self.replicas or host or "").split(",") if url.strip()]
        if not urls:
            raise UsageError("no server to connect to; give --host http://HOST:PORT or --replicas URL,URL")
        return [parse_origin(url) for url in urls]


ON_THE_PAGE = ("replicas", "topic", "topic_skew", "drain", "warmup", "token")
"""Options that the web page offers for each new test.

Paths are not among them: whoever can open the page must not be able to write files here."""


SECRET = ("token", "header", "cookie", "body")
"""Options whose value is not shown."""


def add_options(parser: Any) -> None:
    """Add our options to Locust's command line, its environment variables and its web UI."""
    for name, field in LoadSettings.model_fields.items():
        several = isinstance(field.default, tuple)
        default = "" if field.default is None else field.default
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=str if several else type(default),
            action="append" if several else "store",
            default=None if several else default,
            env_var=f"FANBENCH_LOAD_{name.upper()}",
            help=field.description,
            is_secret=name in SECRET,
            include_in_web_ui=name in ON_THE_PAGE,
        )


def read_settings(options: Any) -> LoadSettings:
    """The settings among Locust's parsed options.

    Raises:
        UsageError: a value is out of range.
    """
    given = {
        name: getattr(options, name) for name in LoadSettings.model_fields if getattr(options, name, None) is not None
    }
    try:
        return LoadSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        reason = first["msg"].removeprefix("Value error, ")
        hint = LoadSettings.model_fields[name].description
        shown = "***" if name in SECRET else repr(first["input"])
        # Without its cause, which contains the value.
        raise UsageError(f"--{name.replace('_', '-')} {shown}: {reason}. It takes: {hint}") from None
