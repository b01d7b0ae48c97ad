"""A dialect: what a service's events mean, as a value and as a TOML file. `reading` applies it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.endpoint.selector import parse_id_pattern, parse_selector
from core.errors import UsageError, nearest
from core.paths import absolute_path
from core.plain_text import plain
from core.scenario import read_toml

Unit = Literal["s", "ms", "us", "ns", "iso"]
MODEL = "dialects/nchan.toml"
ENDPOINT_TABLE = "endpoint"
"""The table of a dialect's file that says how the service is reached: `endpoint_file` reads it."""


class Dialect(BaseModel):
    """The place of each value in an event; '' if unknown.

    An empty dialect reads only fanbench's own stamp, if `data` is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    about: str = Field("", description="a line about the server")
    stamp: str = Field(
        "", description="the place of fanbench's own stamp if fanbench publishes, such as data or data.pub.data"
    )
    only: str = Field("", description="a place; an event without it is not a delivery, such as data.pub")
    items: str = Field(
        "",
        description="the place of a list of events in one, such as data; each place in data then applies to an event of the list",
    )
    topic: str = Field(
        "", description="the place of the topic, such as data.channel; default: the topic that was requested"
    )
    stream: str = Field("", description="the place of the stream's name, which changes when the numbers restart")
    seq: str = Field(
        "", description="the place of a number that grows by one with each event of the topic, such as data.n"
    )
    id: str = Field("", description="what identifies an event: id, a field such as data.uuid, or a pattern of the id")
    sent: str = Field("", description="the place of the time of sending, such as data.ts")
    unit: Unit | None = Field(
        None, description="the unit of the time: s, ms, us or ns since 1970, or iso for RFC 3339 text"
    )
    ignore: tuple[str, ...] = Field((), description="types of events that are not deliveries, such as ping")
    end: str = Field("", description="data or type of the event that ends an answer properly, such as [DONE]")
    shared: bool = Field(True, description="whether all clients of a topic get the same events with the same numbers")

    @field_validator("name", "about")
    @classmethod
    def _can_be_shown(cls, text: str) -> str:
        if plain(text) != text:
            raise ValueError("it has control characters, which can change a terminal; leave them out")
        return text

    @field_validator("stamp", "only", "items", "topic", "stream", "seq", "sent")
    @classmethod
    def _is_a_place(cls, text: str) -> str:
        if text:
            parse_selector(text)
        return text

    @field_validator("id")
    @classmethod
    def _is_a_place_or_a_pattern(cls, text: str) -> str:
        if "{" in text:
            parse_id_pattern(text)
        elif text:
            parse_selector(text)
        return text

    @model_validator(mode="after")
    def _goes_together(self) -> Dialect:
        parts = self.id_parts
        for name in ("topic", "stream", "seq", "sent"):
            if name in parts and getattr(self, name):
                raise ValueError(
                    f"{name} = {getattr(self, name)!r}: id = {self.id!r} has it, too; leave out one of them"
                )
        if "{" in self.id and not parts:
            raise ValueError(f"id = {self.id!r} has only {{any}}; give id = 'id' to identify events by their whole id")
        if self.timed and self.unit is None:
            raise ValueError(
                f"sent = {self.sent or self.id!r}: the unit is missing; add unit = 'ms', 's', 'us', 'ns' or 'iso'"
            )
        if self.unit is not None and not self.timed:
            raise ValueError(f"unit = {self.unit!r}: there is no time; give its place, such as sent = 'data.ts'")
        if self.unit == "iso" and "sent" in parts:
            raise ValueError(f"unit = 'iso': id = {self.id!r} has a number; give its unit")
        if (self.stream or "stream" in parts) and not self.numbered:
            raise ValueError("stream needs numbers, and there is no seq; add seq, or leave out stream")
        return self

    @property
    def id_parts(self) -> tuple[str, ...]:
        """The names of the id's parts if it is a pattern, otherwise empty."""
        return parse_id_pattern(self.id).names if "{" in self.id else ()

    @property
    def numbered(self) -> bool:
        """Whether events have a number that grows by one."""
        return bool(self.seq) or "seq" in self.id_parts

    @property
    def identified(self) -> bool:
        """Whether events can be told apart: then there is a ledger."""
        return bool(self.stamp or self.seq or self.id)

    @property
    def timed(self) -> bool:
        """Whether events have a sending time outside a stamp."""
        return bool(self.sent) or "sent" in self.id_parts

    @property
    def stamp_place(self) -> str:
        """The place where one of our stamps may be; `data` if nothing else is known."""
        return self.stamp or ("" if self.identified or self.timed else "data")

    @property
    def needs_stamp(self) -> bool:
        """Whether an event without a stamp breaks the dialect, because the dialect names nothing else."""
        return bool(self.stamp) and not (self.seq or self.id or self.sent)


def parse_dialect(fields: Mapping[str, object], where: str) -> Dialect:
    """Make a dialect from plain values; `where` names their source in errors.

    Raises:
        UsageError: a field is unknown or wrong; the message names the field, the value, the reason and the nearest known field.
    """
    for name in fields:
        if name not in Dialect.model_fields:
            raise UsageError(f"{where}: unknown field '{name}' of a dialect; {nearest(name, Dialect.model_fields)}")
    try:
        return Dialect.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:  # a rule over several fields, whose message names them
            raise UsageError(f"{where}: {reason}") from error
        name = str(first["loc"][0])
        hint = Dialect.model_fields[name].description or "the name of the server"
        raise UsageError(f"{where}: {name} = {first['input']!r}: {reason}. Give {hint}") from error


def file_of(name_or_path: str, folder: Path) -> Path | None:
    """The file of that name in `folder`, or at that path; None if there is no file of that name.

    A text with a slash, or that ends in .toml, is a path even if there is no such file.
    """
    path = absolute_path(name_or_path)
    if "/" in name_or_path or path.suffix.lower() == ".toml":
        return path
    named = folder / f"{name_or_path}.toml"
    return named if named.is_file() else path if path.is_file() else None


def load_dialect(name_or_path: str, folder: Path) -> Dialect:
    """Read the dialect of that name in `folder`, or the TOML file at that path.

    Raises:
        UsageError: there is no such file, it is not TOML, or a field is unknown or wrong.
    """
    path = file_of(name_or_path, folder)
    if path is None:
        known = [file.stem for file in folder.glob("*.toml")]
        raise UsageError(
            f"no dialect '{name_or_path}'; {nearest(name_or_path, known)} (or give the path of a TOML file)"
        )
    fields = read_toml(path, "dialect", MODEL)
    fields.pop(ENDPOINT_TABLE, None)
    return parse_dialect({"name": path.stem} | fields, where=f"dialect {path}")
