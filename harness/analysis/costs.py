"""A contender's usage, scaled so that loads can be compared, and its cost at given prices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import UsageError, nearest
from core.scenario import read_toml
from harness.analysis.standings import Standing

EXAMPLE = "examples/prices.toml"
HOURS_A_MONTH = 730.0
_MILLION = 1e6
_MB_A_GB = 1024.0
_SECONDS_AN_HOUR = 3600.0


def cores(standing: Standing, part: str) -> float | None:
    """The cores that a part used: CPU seconds of all valid runs divided by their measured seconds."""
    used = [(run.usage[part].cpu_s, run.scenario.duration_s) for run in standing.runs if part in run.usage]
    seconds = sum(duration for _, duration in used)
    return sum(cpu for cpu, _ in used) / seconds if seconds else None


def mb_hours_per_million(standing: Standing, part: str) -> float | None:
    """MB-hours of a part's memory per million deliveries: the mean of the valid runs."""
    values = [
        run.usage[part].rss_mb * run.scenario.duration_s / _SECONDS_AN_HOUR / run.delivered * _MILLION
        for run in standing.runs
        if part in run.usage and run.delivered
    ]
    return float(np.mean(values)) if values else None


class Prices(BaseModel):
    """Prices of a machine or a service, in the file's currency."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    currency: str = Field("EUR", description="the currency of amounts, for instance EUR")
    core_hour: float = Field(0.0, ge=0, description="of a core for an hour, for instance 0.035")
    gb_hour: float = Field(0.0, ge=0, description="of a GB of memory for an hour, for instance 0.0045")
    million_commands: float = Field(
        0.0,
        ge=0,
        description="of a million commands of a managed service: each publish, and each delivery to a replica",
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a contender's broker at a load, in the prices' currency."""

    per_million: float
    """The cost of a million deliveries to clients, at the measured load."""
    per_month: float
    """The cost of a month (730 hours) at the needed load: CPU and commands scale with deliveries, memory as measured."""
    scaled: float
    """The needed load divided by the measured one."""


def cost_of(standing: Standing, prices: Prices, needed_deliveries_hz: float | None = None) -> Cost | None:
    """The cost of a contender's broker; None if its CPU or memory was not measured.

    `needed_deliveries_hz` is clients x events per second of each; without it the measured load is the needed one.
    """
    used, delivered = cores(standing, "broker"), sum(run.delivered for run in standing.runs)
    sizes = [run.usage["broker"].rss_mb for run in standing.runs if "broker" in run.usage]
    if used is None or not delivered or not sizes:
        return None
    seconds = sum(run.scenario.duration_s for run in standing.runs)
    measured_hz = delivered / seconds
    commands = sum(run.published * (1 + run.scenario.replicas) for run in standing.runs) / seconds
    gb = float(np.mean(sizes)) / _MB_A_GB
    per_hour = used * prices.core_hour + commands * _SECONDS_AN_HOUR / _MILLION * prices.million_commands
    held = gb * prices.gb_hour
    scaled = needed_deliveries_hz / measured_hz if needed_deliveries_hz else 1.0
    million_hours = _MILLION / measured_hz / _SECONDS_AN_HOUR
    return Cost((per_hour + held) * million_hours, (per_hour * scaled + held) * HOURS_A_MONTH, scaled)


def read_prices(path: Path) -> Prices:
    """The prices of a TOML file.

    Raises:
        UsageError: the file cannot be read, or a price is unknown or below 0.
    """
    fields = read_toml(path, "prices", EXAMPLE)
    for name in fields:
        if name not in Prices.model_fields:
            raise UsageError(f"{path}: unknown price '{name}'; {nearest(name, Prices.model_fields)}")
    try:
        return Prices.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        hint = Prices.model_fields[name].description
        raise UsageError(f"{path}: {name} = {first['input']!r}: {first['msg']}. {name}: {hint}") from error
