"""Measured costs per unit: the committed table, or one from your machine."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import UsageError
from core.scenario import read_toml

MODEL = "harness/size/units.toml, which docs/scale.md describes"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ProgramUnits(_Table):
    """The costs of a replica, or of one load process."""

    delivery_us: float = Field(gt=0, description="CPU of one event at one client")
    event_us: float = Field(ge=0, description="CPU of one event, regardless of the number of clients")
    base_mb: float = Field(ge=0, description="memory without clients")
    client_kb: float = Field(ge=0, description="memory of one client")


class GeneratorUnits(_Table):
    """The costs of the generator."""

    event_us: float = Field(ge=0, description="CPU of one event")


class BrokerUnits(_Table):
    """The costs of the broker: valkey, which is the cheapest."""

    event_us: float = Field(ge=0, description="CPU for accepting one event")
    copy_us: float = Field(ge=0, description="CPU for sending it to one replica")


class WireUnits(_Table):
    """The size of one delivery on the wire."""

    frame_bytes: float = Field(gt=0, description="what a client reads for an event of 200 bytes, including framing")
    packet_bytes: float = Field(ge=0, description="TCP, IP and Ethernet headers, one packet for each delivery")


class UnitCosts(_Table):
    """The table of costs."""

    measured: str
    """The machine and the versions that were measured."""
    replica: ProgramUnits
    worker: ProgramUnits
    generator: GeneratorUnits
    broker: BrokerUnits
    wire: WireUnits


def read_units(path: Path | None = None) -> UnitCosts:
    """Read the table in a file, or the committed one.

    Raises:
        UsageError: it cannot be read, or its content is not a table of costs.
    """
    where = str(path) if path is not None else "harness/size/units.toml"
    fields = read_toml(path, "--units", MODEL) if path is not None else tomllib.loads(_committed())
    try:
        return UnitCosts.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise UsageError(f"--units {where}: {field}: {first['msg']}; harness/size/units.toml is an example") from error


def _committed() -> str:
    return (files("harness") / "size" / "units.toml").read_text(encoding="utf-8")
