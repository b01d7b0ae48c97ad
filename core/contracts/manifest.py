"""manifest.json: what was compared, on what, and which runs of the result directory count."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from core.contracts.codec import Document
from core.scenario import Scenario


class ManifestRun(Document):
    """One run; they are listed in running order."""

    run: int
    """Its position, from 1."""
    contender: str
    round: int
    scenario: dict[str, JsonValue]
    """Only the fields in which its scenario differs from the comparison's, by their names in `Scenario`."""
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    negative: dict[str, int]
    """Latencies below zero by hop, if there were any."""
    disturbed: bool = False
    """Refused because the machine disturbed it."""
    permanent: bool = False
    """Refused for a reason that another try cannot change."""


class Stopping(Document):
    """When a comparison was allowed to stop, which its intervals must account for."""

    margin: float = Field(1.25, gt=1)
    """Figures are equivalent if their ratio is within this factor."""
    looks: tuple[int, ...] = ()
    """The rounds after which it was decided whether to continue; the last is the planned number of rounds.

    Empty: only at the end.
    """
    settled: bool = False
    """It stopped early because every pair was settled."""


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
    """The versions that programs report."""
    libraries: dict[str, str] = Field(default_factory=dict)
    """Versions of the libraries that affect the numbers; a client library may have the name of its program."""
    fanbench: dict[str, str] = Field(default_factory=dict)
    """`version`, and the `commit` of a checkout."""
    settings: dict[str, dict[str, int]] = Field(default_factory=dict)
    """The settings that decide how long a failover takes, by cluster."""
    stopping: Stopping = Field(default_factory=Stopping)
    lanes: int = Field(1, ge=1)
    """How many runs ran at the same time, each with its own programs."""
    order: tuple[ManifestRun, ...]
