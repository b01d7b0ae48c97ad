"""A dialect: what the events of somebody's service say, as a value and as a TOML file. `reading` applies it."""

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
    """Where things stand in an event; '' is unknown. Nothing at all means: fanbench's own stamp if `data` is one, else nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    about: str = Field("", description="a line about the server")
    stamp: str = Field(
        "", description="where fanbench's own stamp stands where it publishes, such as data or data.pub.data"
    )
    only: str = Field("", description="a place without which an event is no delivery, such as data.pub")
    items: str = Field(
        "",
        description="where a list of events stands in one, such as data; each place in data is then one in an event of the list",
    )
    topic: str = Field(
        "", description="where the topic stands, such as data.channel; default: the one that was asked for"
    )
    stream: str = Field(
        "", description="where the name stands of what numbers the events, which changes when it begins anew"
    )
    seq: str = Field(
        "", description="where a number stands that grows by one with each event of the topic, such as data.n"
    )
    id: str = Field(
        "", description="what tells one event from another: id, a field such as data.uuid, or a pattern of the id"
    )
    sent: str = Field("", description="where the time stands at which the event was sent, such as data.ts")
    unit: Unit | None = Field(
        None, description="of the time: s, ms, us or ns since 1970, or iso for text as of RFC 3339"
    )
    ignore: tuple[str, ...] = Field((), description="types of events that are no deliveries, such as ping")
    end: str = Field("", description="data or type of the event that ends an answer in good order, such as [DONE]")
    shared: bool = Field(True, description="whether all clients of a topic get the same events, under the same numbers")

    @field_validator("name", "about")
    @classmethod
    def _can_be_shown(cls, text: str) -> str:
        if plain(text) != text:
            raise ValueError("it has control characters, which a terminal would obey; leave them out")
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
                    f"{name} = {getattr(self, name)!r}: id = {self.id!r} has it, too; leave one of them out"
                )
        if "{" in self.id and not parts:
            raise ValueError(
                f"id = {self.id!r} has no part that says anything; give id = 'id' to tell events by their whole id"
            )
        if self.timed and self.unit is None:
            raise ValueError(
                f"sent = {self.sent or self.id!r}: in which unit? Add unit = 'ms', 's', 'us', 'ns' or 'iso'"
            )
        if self.unit is not None and not self.timed:
            raise ValueError(f"unit = {self.unit!r}: of what? Say where the time stands, such as sent = 'data.ts'")
        if self.unit == "iso" and "sent" in parts:
            raise ValueError(f"unit = 'iso': id = {self.id!r} has a number; give its unit")
        if (self.stream or "stream" in parts) and not self.numbered:
            raise ValueError("stream says who numbers the events, and no seq does; add seq, or leave stream out")
        return self

    @property
    def id_parts(self) -> tuple[str, ...]:
        """The names of the parts of the id, where it is a pattern."""
        return parse_id_pattern(self.id).names if "{" in self.id else ()

    @property
    def numbered(self) -> bool:
        """Whether events have a number that grows by one."""
        return bool(self.seq) or "seq" in self.id_parts

    @property
    def identified(self) -> bool:
        """Whether one event is told from another: then there is a ledger."""
        return bool(self.stamp or self.seq or self.id)

    @property
    def timed(self) -> bool:
        """Whether events say when they were sent, otherwise than by a stamp."""
        return bool(self.sent) or "sent" in self.id_parts

    @property
    def stamp_place(self) -> str:
        """Where a stamp of ours may stand; `data` where nothing else is known."""
        return self.stamp or ("" if self.identified or self.timed else "data")

    @property
    def needs_stamp(self) -> bool:
        """Whether an event without a stamp is not as the dialect says, as it says nothing else."""
        return bool(self.stamp) and not (self.seq or self.id or self.sent)


def parse_dialect(fields: Mapping[str, object], where: str) -> Dialect:
    """A dialect from plain values; `where` names their source in errors.

    Raises:
        UsageError: naming the field, the value, the reason, and for an unknown field the nearest known one.
    """
    for name in fields:
        if name not in Dialect.model_fields:
            raise UsageError(f"{where}: unknown field '{name}' of a dialect; {nearest(name, Dialect.model_fields)}")
    try:
        return Dialect.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:  # a rule over several fields, which names them itself
            raise UsageError(f"{where}: {reason}") from error
        name = str(first["loc"][0])
        hint = Dialect.model_fields[name].description or "the name of the server"
        raise UsageError(f"{where}: {name} = {first['input']!r}: {reason}. It takes: {hint}") from error


def load_dialect(name_or_path: str, folder: Path) -> Dialect:
    """The dialect `name` in `folder`, or the TOML file at a path.

    Raises:
        UsageError: there is no such file, it is not TOML, or a field is unknown or wrong.
    """
    path = absolute_path(name_or_path)
    if path.suffix != ".toml":
        path = folder / f"{name_or_path}.toml"
        if not path.is_file():
            known = [file.stem for file in folder.glob("*.toml")]
            raise UsageError(
                f"no dialect '{name_or_path}'; {nearest(name_or_path, known)}, or give the path of a TOML file"
            )
    fields = read_toml(path, "dialect", MODEL)
    fields.pop(ENDPOINT_TABLE, None)
    return parse_dialect({"name": path.stem} | fields, where=f"dialect {path}")
