"""The interface of a broker program, as a structural protocol."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from brokers.programs.cluster import Cluster
from brokers.programs.running import Running


class Program(Protocol):
    """A broker product that can be run."""

    @property
    def name(self) -> str:
        """Its name in contenders and errors."""

    @property
    def install_hint(self) -> str:
        """How to install it."""

    def find(self) -> Path | None:
        """Its executable on this machine, or None."""

    def require(self) -> Path:
        """Its executable on this machine.

        Raises:
            FanbenchError: it is not found; the message says what to do.
        """

    def version(self) -> str:
        """Its version; empty if it is not found."""

    def start(self, folder: Path, features: Collection[str] = ()) -> Running | Cluster:
        """Run it on free ports of 127.0.0.1 with its own directory.

        Return once each node answered a protocol round trip. Its log and its data go to `folder`, an absolute path.
        `features` enables what a contender needs, for instance `jetstream`.

        Raises:
            FanbenchError: it is not found, ended, or did not answer in time; the message contains its log's last lines.
        """
