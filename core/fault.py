"""Faults as values: what breaks, when within the measured phase, for how long. Each is undone by itself."""

from __future__ import annotations

import math
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

FaultKind = Literal[
    "broker-kill",
    "broker-stop",
    "link-cut",
    "link-delay",
    "link-stall",
    "generator-cut",
    "replica-kill",
    "replica-restart",
    "clients-stall",
    "clients-cut",
    "clients-churn",
]

MEANING: dict[FaultKind, str] = {
    "broker-kill": "the broker gets SIGKILL and is started again on its port, with the data it left",
    "broker-stop": "the broker is stopped (SIGSTOP) and continued",
    "link-cut": "the connections between one replica and the broker are cut, new ones refused until it is undone",
    "link-delay": "the link between one replica and the broker is slower by delay_ms in each direction",
    "link-stall": "one replica stops reading from the broker: its link passes nothing on, and is not closed",
    "generator-cut": "the connections between the generator and the broker are cut, as in link-cut",
    "replica-kill": "one replica gets SIGKILL and is started again on its port",
    "replica-restart": "each replica in turn is told to end (SIGTERM) and started again: a rolling restart",
    "clients-stall": "a share of the clients stops reading, and reads again",
    "clients-cut": "a share of the clients' connections, all by default, is cut at once: a reconnect storm",
    "clients-churn": "a share of the clients closes and comes back every second",
}


class Fault(BaseModel):
    """One fault of a scenario."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    at_s: float = Field(2.0, ge=0, description="seconds into the measured phase")
    for_s: float = Field(2.0, ge=0, description="seconds until it is undone")
    every_s: float = Field(0.0, ge=0, description="again this often, to the end of the measured phase; 0: once")
    share: float | None = Field(
        None, gt=0, le=1, description="of the clients, for clients-stall and clients-churn (0.1) and clients-cut (1)"
    )
    delay_ms: float = Field(50.0, ge=0, description="for link-delay")

    def times_s(self, duration_s: float) -> list[float]:
        """When it begins, in seconds into a measured phase of `duration_s`."""
        if not self.every_s:
            return [self.at_s]
        repeats = max(0, math.ceil((duration_s - self.at_s) / self.every_s))
        return [self.at_s + i * self.every_s for i in range(repeats)]

    @property
    def share_of_clients(self) -> float:
        """`share`, or what is usual for this kind."""
        return self.share or (1.0 if self.kind == "clients-cut" else 0.1)

    @property
    def needs_broker(self) -> bool:
        """Whether it breaks the broker or a link to it: `memory` has neither."""
        return self.kind.startswith(("broker-", "link-", "generator-"))


KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
