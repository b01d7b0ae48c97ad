"""Reads orders while the clients run: JSON lines appended to a file, which every process of the load follows."""

from __future__ import annotations

import logging
from pathlib import Path
from random import Random

from core.contracts.codec import DocumentError, decode
from core.contracts.load_orders import LoadOrder

log = logging.getLogger("fanbench.load")

_CHOICE_SEED = 1


class Control:
    """Follows a file from its current end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = path.stat().st_size if path.exists() else 0

    def orders(self) -> list[LoadOrder]:
        """The complete lines appended since the last call; lines that are not orders are logged and skipped."""
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
            text = line.decode(errors="replace").strip()
            try:
                order = decode(LoadOrder, line, f"{self._path}: order {text!r}")
            except DocumentError as error:
                log.error("%s", error)  # noqa: TRY400
                continue
            orders.append(order if order.at_ns else order.given_at(status.st_mtime_ns))
        return orders


def chosen(clients: int, share: float) -> set[int]:
    """The numbers of that share of the clients 0..clients-1: random, but the same in every process and each time."""
    return set(Random(_CHOICE_SEED).sample(range(clients), round(clients * share)))
