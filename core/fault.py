"""Faults as values: what breaks, when within the measured phase, and for how long. Each is undone automatically."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

FaultKind = Literal[
    "broker-kill",
    "broker-stop",
    "link-cut",
    "link-delay",
    "link-stall",
    "generator-cut",
    "proxy-stall",
    "replica-kill",
    "replica-restart",
    "clients-stall",
    "clients-cut",
    "clients-churn",
    "leader-kill",
    "follower-kill",
    "connected-node-kill",
    "leader-pause",
    "leader-cut",
    "minority-cut",
    "rolling-restart",
    "cluster-kill",
    "deployment-break",
]


TAIL_S = 4.0
"""How long events continue after the last fault was undone: every adapter and client reconnects within half of it."""
LANES = 2
"""How many faults of nodes run at the same time: one takes a third of a core while it measures, and a core while its programs start."""
LAST_SIGNS_S = 2.0
"""How long every replica must deliver before a broken node comes back."""


class Kind(NamedTuple):
    """What all faults of a kind have in common."""

    meaning: str
    undone: str
    for_s: float = 2.0
    """Its default duration."""
    share: float | None = None
    """Default share of the clients, for faults of clients."""
    of_nodes: bool = False
    """Whether it breaks nodes of a cluster."""
    stops_broker: bool = False
    """Whether it stops a process of the broker with a signal, on purpose."""
    of_links: bool = False
    """Whether it breaks the links between nodes, which then need separate networks."""
    usual_s: float | None = None
    """Mean time in seconds from the fault to the end of the run, over all clusters; None: its duration and the tail."""


_NODE_BACK = "it is started again once every replica has delivered for two seconds, or after for_s (20 s by default)"
_MENDED = "the links are restored; a node that has not rejoined 30 s later is restarted"
_CUT_S = 15.0
"""Longer than any product here takes to declare a silent node down: RabbitMQ 7.5 to 12.5 s with net_ticktime_s = 10."""
WHAT: dict[FaultKind, Kind] = {
    "broker-kill": Kind("the broker gets SIGKILL", "it is started again on its port, with its data"),
    # Longer than the adapters' heartbeat of 2.5 s, so that they notice.
    "broker-stop": Kind("the broker is stopped (SIGSTOP)", "it is continued (SIGCONT)", for_s=5.0, stops_broker=True),
    "link-cut": Kind(
        "the connections between one replica and the broker are cut, and new ones are refused",
        "new connections are accepted; the replica reconnects",
    ),
    "link-delay": Kind(
        "the link between one replica and the broker gets delay_ms slower in each direction", "the delay ends"
    ),
    "link-stall": Kind(
        "one replica stops reading from the broker, and its link stays open",
        "it reads again, first the backlog",
    ),
    "generator-cut": Kind(
        "the connections between the generator and the broker are cut, and new ones are refused",
        "new connections are accepted; the generator reconnects",
    ),
    "proxy-stall": Kind(
        "a proxy between the replicas and their clients forwards nothing, and keeps the connections open",
        "it forwards what it held back",
        for_s=3.0,
    ),
    "replica-kill": Kind("one replica gets SIGKILL", "it is started again on its port"),
    "replica-restart": Kind(
        "each replica in turn gets SIGTERM: a rolling restart",
        "each is started again on its port before the next one is stopped",
        for_s=0.0,
    ),
    "clients-stall": Kind("a share of the clients stops reading", "they read again", for_s=5.0, share=0.1),
    "clients-cut": Kind(
        "a share of the clients' connections is cut at once: a reconnect storm",
        "the clients reconnect",
        for_s=0.0,
        share=1.0,
    ),
    "clients-churn": Kind(
        "a share of the clients disconnects and reconnects every second", "they stay connected", for_s=5.0, share=0.1
    ),
    "leader-kill": Kind(
        "the leader gets SIGKILL: the primary, or the leader of the stream or queue",
        _NODE_BACK,
        20.0,
        of_nodes=True,
        usual_s=16.0,
    ),
    "follower-kill": Kind("a follower gets SIGKILL", _NODE_BACK, 20.0, of_nodes=True, usual_s=10.0),
    "connected-node-kill": Kind(
        "a node that a replica is connected to gets SIGKILL, if possible a follower",
        _NODE_BACK,
        20.0,
        of_nodes=True,
        usual_s=9.0,
    ),
    "leader-pause": Kind(
        "the leader is stopped (SIGSTOP)",
        "it is continued (SIGCONT) once every replica has delivered for two seconds, or after for_s (20 s by default)",
        20.0,
        of_nodes=True,
        usual_s=15.0,
        stops_broker=True,
    ),
    "leader-cut": Kind(
        "the links between the leader and the other nodes are cut, while clients still reach all nodes: a split brain",
        _MENDED,
        for_s=_CUT_S,
        of_nodes=True,
        usual_s=38.0,
        of_links=True,
    ),
    "minority-cut": Kind(
        "the links between a follower, if possible one that a replica is connected to, and the other nodes are cut",
        _MENDED,
        for_s=_CUT_S,
        of_nodes=True,
        usual_s=38.0,
        of_links=True,
    ),
    "rolling-restart": Kind(
        "each node in turn gets SIGTERM, the leader last: an upgrade",
        "each is started again, and the cluster is whole, before the next one",
        for_s=0.0,
        of_nodes=True,
        usual_s=20.0,
    ),
    "cluster-kill": Kind(
        "all nodes get SIGKILL at once", "all are started again, with the data they left", of_nodes=True, usual_s=14.0
    ),
    "deployment-break": Kind(
        "your own command --break runs: whatever it breaks in your deployment",
        "your own command --mend runs",
        for_s=5.0,
    ),
}


class Fault(BaseModel):
    """One fault of a scenario."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    at_s: float = Field(2.0, ge=0, description="seconds into the measured phase")
    for_s: float | None = Field(None, ge=0, description="seconds until it is undone; None: the default of its kind")
    every_s: float = Field(0.0, ge=0, description="interval at which it repeats while duration_s lasts; 0: once")
    share: float | None = Field(
        None, gt=0, le=1, description="of the clients, for clients-stall and clients-churn (0.1) and clients-cut (1)"
    )
    delay_ms: float = Field(50.0, ge=0, description="for link-delay")

    @model_validator(mode="after")
    def _ends_before_it_begins_again(self) -> Fault:
        if self.every_s and self.every_s <= self.lasting_s:
            raise ValueError(
                f"{self.kind}: every_s = {self.every_s:g} and it lasts {self.lasting_s:g} s, so that it would begin again "
                "before it was undone; raise every_s or lower for_s"
            )
        return self

    @property
    def lasting_s(self) -> float:
        """`for_s`, or this kind's default."""
        return WHAT[self.kind].for_s if self.for_s is None else self.for_s

    def times_s(self, duration_s: float) -> list[float]:
        """When it begins: seconds after the start of a measured phase of `duration_s`."""
        if not self.every_s:
            return [self.at_s]
        repeats = max(1, math.ceil((duration_s - self.at_s) / self.every_s))
        return [self.at_s + i * self.every_s for i in range(repeats)]

    @property
    def takes_s(self) -> float:
        """Approximate time in seconds from its start to the end of the run."""
        usual_s = WHAT[self.kind].usual_s
        return self.lasting_s + TAIL_S if usual_s is None or self.for_s is not None else usual_s

    @property
    def share_of_clients(self) -> float:
        """`share`, or this kind's default."""
        return self.share or WHAT[self.kind].share or 1.0

    @property
    def done_to_clients(self) -> bool:
        """Whether the load causes it, when it is ordered to."""
        return self.kind.startswith("clients-")

    @property
    def of_deployment(self) -> bool:
        """Whether the user's own commands cause it in the user's deployment."""
        return self.kind.startswith("deployment-")

    @property
    def ends_a_replica(self) -> bool:
        """Whether it ends a replica, and the generator in it with `memory`."""
        return self.kind.startswith("replica-")

    @property
    def of_nodes(self) -> bool:
        """Whether it breaks nodes of a cluster."""
        return WHAT[self.kind].of_nodes

    @property
    def ends_early(self) -> bool:
        """Whether it is undone as soon as every replica delivers again, when its effect is known."""
        return self.of_nodes and not self.of_links and self.for_s is None and self.lasting_s > LAST_SIGNS_S

    @property
    def of_links(self) -> bool:
        """Whether it breaks the links between nodes, which then need separate networks."""
        return WHAT[self.kind].of_links

    @property
    def before_clients(self) -> bool:
        """Whether it happens in a proxy between replicas and clients."""
        return self.kind.startswith("proxy-")

    @property
    def needs_broker(self) -> bool:
        """Whether it breaks the broker or a link to it: `memory` has neither."""
        return self.kind.startswith(("broker-", "link-", "generator-"))


KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
