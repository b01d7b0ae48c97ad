"""Costs per unit, as measured: a committed table, or one of your own machine."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import UsageError


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ProgramUnits(_Table):
    """Of a replica, or of one process of the load."""

    delivery_us: float = Field(gt=0, description="CPU of one event at one client")
    event_us: float = Field(ge=0, description="CPU of one event, whatever the number of clients")
    base_mb: float = Field(ge=0, description="memory without clients")
    client_kb: float = Field(ge=0, description="memory of one client")


class GeneratorUnits(_Table):
    """Of the generator."""

    event_us: float = Field(ge=0, description="CPU of one event")


class BrokerUnits(_Table):
    """Of the broker: valkey's, which is the cheapest."""

    event_us: float = Field(ge=0, description="CPU of taking one event")
    copy_us: float = Field(ge=0, description="CPU of handing it to one replica")


class WireUnits(_Table):
    """Of one delivery on the wire."""

    frame_bytes: float = Field(gt=0, description="what a client reads of an event of 200 bytes, framing and all")
    packet_bytes: float = Field(ge=0, description="TCP, IP and Ethernet around it, one packet each")


class UnitCosts(_Table):
    """The table."""

    measured: str
    """On what."""
    replica: ProgramUnits
    worker: ProgramUnits
    generator: GeneratorUnits
    broker: BrokerUnits
    wire: WireUnits


def read_units(path: Path | None = None) -> UnitCosts:
    """The table in a file, or the committed one.

    Raises:
        UsageError: there is no such file, or it holds something else.
    """
    where = str(path) if path is not None else "harness/size/units.toml"
    try:
        text = path.read_text(encoding="utf-8") if path is not None else _committed()
        return UnitCosts.model_validate(tomllib.loads(text))
    except OSError as error:
        raise UsageError(f"--units {where}: {error.strerror}; docs/scale.md says how to make such a file") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"--units {where}: {error}; docs/scale.md says how to make such a file") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise UsageError(f"--units {where}: {field}: {first['msg']}; harness/size/units.toml is a model") from error


def _committed() -> str:
    return (files("harness") / "size" / "units.toml").read_text(encoding="utf-8")
