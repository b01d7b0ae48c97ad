"""Orders that come while the clients run: JSON lines appended to a file, which every process of the load follows."""

from __future__ import annotations

import logging
from pathlib import Path
from random import Random
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

log = logging.getLogger("fanbench.load")

_CHOICE_SEED = 1


class Order(BaseModel):
    """One order; `at_ns` is when it was given (default: when its line was written)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    do: Literal["mark", "cut", "stall", "churn"]
    share: float = Field(1.0, gt=0, le=1)
    for_s: float = Field(0.0, ge=0)
    at_ns: int = Field(0, ge=0)


class Control:
    """Follows one file from where it ends now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = path.stat().st_size if path.exists() else 0

    def orders(self) -> list[Order]:
        """What was appended since the last call, whole lines only; lines that are no orders are logged and skipped."""
        try:
            status = self._path.stat()
            if status.st_size <= self._read_bytes:
                return []
            with self._path.open("rb") as file:
                file.seek(self._read_bytes)
                lines = file.read().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        orders = []
        for line in lines:
            if not line.endswith(b"\n"):
                break
            self._read_bytes += len(line)
            try:
                order = Order.model_validate_json(line)
            except ValidationError as error:
                what, text = error.errors()[0]["msg"], line.decode(errors="replace").strip()
                log.error("order %r: %s; docs/load.md lists the orders", text, what)  # noqa: TRY400
                continue
            orders.append(order if order.at_ns else order.model_copy(update={"at_ns": status.st_mtime_ns}))
        return orders


def chosen(clients: int, share: float) -> set[int]:
    """The numbers of that share of the clients 0..clients-1: by chance, but the same in every process and time."""
    return set(Random(_CHOICE_SEED).sample(range(clients), round(clients * share)))
