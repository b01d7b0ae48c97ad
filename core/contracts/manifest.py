"""manifest.json: what was compared, on what, and which runs of the result directory count."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from core.contracts.codec import Document
from core.scenario import Scenario


class ManifestRun(Document):
    """One run, in the order in which they ran."""

    run: int
    """Its place, from 1."""
    contender: str
    round: int
    scenario: dict[str, JsonValue]
    """The fields in which its scenario differs from the comparison's, and no others: their names are those of `Scenario`."""
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    negative: dict[str, int]
    """Latencies below zero by hop, if there were any."""
    disturbed: bool = False
    """Refused for what the machine did to it."""
    permanent: bool = False
    """Refused for what another try cannot change."""


class Stopping(Document):
    """When a comparison was allowed to stop, which its intervals must account for."""

    margin: float = Field(1.25, gt=1)
    """Figures whose ratio lies within it are equivalent."""
    looks: tuple[int, ...] = ()
    """After which rounds it was judged whether to continue; the last is the number of rounds planned.

    Empty: at the end alone.
    """
    settled: bool = False
    """It stopped early, because every pair was settled."""


class Manifest(Document):
    """`schema_version` is the version of the whole directory."""

    remedy: ClassVar[str] = "measure again"
    schema_version: Literal[1]
    name: str
    started_utc: str
    complete: bool
    verdict: tuple[str, ...]
    command: str
    scenario: Scenario
    host: dict[str, str]
    versions: dict[str, str]
    """Of programs, as they report them."""
    libraries: dict[str, str] = Field(default_factory=dict)
    """Versions of the libraries that the numbers depend on; a client library may have the name of its program."""
    fanbench: dict[str, str] = Field(default_factory=dict)
    """`version`, and the `commit` of a checkout."""
    settings: dict[str, dict[str, int]] = Field(default_factory=dict)
    """By cluster, the settings that decide how long its failover takes."""
    stopping: Stopping = Field(default_factory=Stopping)
    order: tuple[ManifestRun, ...]
