"""The options of the Locust suite, checked: each error names the value, the reason and the next step."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from core.errors import UsageError
from core.paths import file_to_write
from core.topics import DEFAULT_TOPIC, TopicList, expand_topics
from load.http1 import Origin, parse_origin

DESCRIPTORS_BESIDE_CLIENTS = 100
File = Annotated[Path | None, BeforeValidator(lambda path: file_to_write(path) if path else None)]
_OF_THE_MASTER = {"out", "status"}
"""Files that a worker does not write, though its master tells it their names."""


class LoadSettings(BaseModel):
    """What the suite was told, as environment FANBENCH_LOAD_* or on the command line."""

    model_config = ConfigDict(frozen=True)

    replicas: str = Field("", description="base URLs of the replicas, by commas; default: --host")
    topic: TopicList = Field(DEFAULT_TOPIC, description="topics, each client takes one: events · a,b · room-{0..999}")
    topic_skew: float = Field(0.0, ge=0, le=5, description="Zipf exponent of clients over topics; 0 spreads evenly")
    wait: float = Field(0.0, ge=0, le=600, description="seconds to wait at the start for every replica to be ready")
    drain: float = Field(
        1.0, ge=0, le=600, description="seconds to wait at the end for what some clients have and others lack"
    )
    out: File = Field(None, description="file to write the result to, as JSON, at the end")
    status: File = Field(None, description="file to write the numbers of the moment to, five times a second")
    control: File = Field(
        None, description="file that is followed for orders to mark a fault, cut, stall or churn clients"
    )
    token: str = Field("", description="bearer token for /sse")

    @property
    def topics(self) -> list[str]:
        """The topics by name."""
        return expand_topics(self.topic)

    def origins(self, host: str | None) -> list[Origin]:
        """The replicas' addresses.

        Raises:
            UsageError: there is none, or one is not an http:// URL.
        """
        urls = [url.strip() for url in (self.replicas or host or "").split(",") if url.strip()]
        if not urls:
            raise UsageError("no replica to connect to; give --host http://HOST:PORT or --replicas URL,URL")
        return [parse_origin(url) for url in urls]


def read_settings(options: Any) -> LoadSettings:
    """The settings among Locust's parsed options.

    Paths become absolute in the options too, since a master passes them on to workers that may run elsewhere.

    Raises:
        UsageError: a value is out of range.
    """
    names = LoadSettings.model_fields.keys() - (_OF_THE_MASTER if getattr(options, "worker", False) else set())
    given = {name: value for name in names if (value := getattr(options, name, None)) is not None}
    try:
        settings = LoadSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        reason = first["msg"].removeprefix("Value error, ")
        hint = LoadSettings.model_fields[name].description
        raise UsageError(f"--{name.replace('_', '-')} {first['input']!r}: {reason}. It takes: {hint}") from error
    for name in names:
        if isinstance(path := getattr(settings, name), Path):
            setattr(options, name, str(path))
    return settings


def require_descriptors(clients: int) -> None:
    """Raise the limit of open files as far as it goes.

    Raises:
        UsageError: this process may not hold that many connections.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients + DESCRIPTORS_BESIDE_CLIENTS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise UsageError(
                f"{clients} clients need {wanted} open files, this process may have {hard}; "
                f"use up to {max(0, hard - DESCRIPTORS_BESIDE_CLIENTS)} clients or more --processes"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else hard, hard))
