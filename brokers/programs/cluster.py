"""A broker of several nodes, which faults can break node by node."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from brokers.programs.networks import Loopback, Network, Rejoin
from brokers.programs.running import Running
from core.errors import FanbenchError, TransientError

WHOLE_S = 60.0
"""Time for the nodes to find each other, or to readmit one."""
_POLL_S = 0.05


Leader = Callable[[Collection[str], str], Running]
"""The leading node for a contender's features and a topic. Blocks. Raises FanbenchError: no node leads, or none answers.
"""


@dataclass(slots=True)
class Cluster:
    """Nodes that answer and know each other; leaving the `with` block stops all and removes their data.

    It has the methods of brokers.programs.running.Running, for all nodes together.
    """

    name: str
    listeners: Mapping[str, str]
    """The nodes' addresses by protocol: host:port,host:port,host:port."""
    data: Path
    """The folder with everything that the nodes store."""
    nodes: Sequence[Running]
    whole: Callable[[], bool]
    """Whether each node answers and knows the others, and every copy follows its leader."""
    leader: Leader
    watchers: Sequence[Running] = ()
    """Nodes that elect leaders or locate others, and serve no events."""
    watchers_first: bool = False
    """Whether the nodes need the watchers to start."""
    form: Callable[[], None] = field(default=lambda: None)
    """Forms a cluster of nodes that have just started for the first time."""
    credentials: tuple[str, str] | None = None
    network: Network = field(default_factory=Loopback)
    """Where the nodes run."""

    @property
    def all(self) -> list[Running]:
        """Nodes and watchers, in starting order."""
        return [*self.watchers, *self.nodes] if self.watchers_first else [*self.nodes, *self.watchers]

    @property
    def pids(self) -> list[int]:
        """The processes whose trees are the broker's CPU and memory."""
        return [pid for one in self.all for pid in one.pids]

    @property
    def ended(self) -> bool:
        """Whether any node is not running."""
        return any(one.ended for one in self.all)

    def start_again(self) -> None:
        """Start the nodes that are not running, and wait until the cluster is whole.

        Raises:
            TransientError: a node ended or did not answer in time, or the cluster was not whole in time.
        """
        if self.watchers_first:
            _start(self.watchers)
        _start(self.all)
        self.wait_whole()

    def first_start(self) -> Cluster:
        """Start all nodes, make a cluster of them and wait until it is whole; on failure only logs remain."""
        try:
            if self.watchers_first:
                _start(self.watchers)
            _start(self.nodes)
            self.form()
            _start(self.watchers)
            self.wait_whole()
        except BaseException:
            self.stop()
            raise
        return self

    def wait_whole(self, timeout_s: float = WHOLE_S) -> None:
        """Return once the cluster is whole.

        Raises:
            TransientError: it is not whole within `timeout_s` seconds.
        """
        wait_until(lambda: not self.ended and self.whole(), f"{self.name}: all nodes in one cluster", timeout_s)

    def kill(self) -> None:
        """SIGKILL to all nodes; their data stay."""
        for one in self.all:
            one.kill()

    def cut(self, node: Running) -> Rejoin:
        """Cut a node and its watcher from all others; clients still reach it. The returned function undoes it.

        Raises:
            FanbenchError: the nodes have no separate networks.
        """
        return self.network.cut(next(iter(node.listeners.values())))

    def pause(self) -> None:
        """SIGSTOP to all nodes."""
        for one in self.all:
            one.pause()

    def resume(self) -> None:
        """SIGCONT to all nodes."""
        for one in self.all:
            one.resume()

    def halt(self) -> None:
        """Ask all nodes to end, as an operator would; their data stay."""
        for one in self.all:  # signal all before waiting for any
            if one.child is not None and not one.ended:
                one.child.send_signal(signal.SIGTERM)
        for one in self.all:
            one.halt()

    def stop(self) -> None:
        """End all nodes and remove what they stored. Idempotent."""
        self.kill()  # all at once: if they ended in turn, the remaining ones would hold elections and log them
        for one in self.all:
            one.stop()
        self.network.close()
        shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def wait_until(probe: Callable[[], bool], what: str, timeout_s: float = WHOLE_S) -> None:
    """Return once the probe is true; an error because a node does not answer yet counts as false.

    Raises:
        TransientError: it is not true within `timeout_s` seconds; the message contains the last reason.
    """
    deadline, why = time.monotonic() + timeout_s, ""
    while True:
        try:
            if probe():
                return
            why = ""
        except (OSError, FanbenchError) as error:
            why = f": {error}"
        if time.monotonic() > deadline:
            raise TransientError(f"{what}: not within {timeout_s:g} s{why}; see the nodes' logs")
        time.sleep(_POLL_S)


def _start(nodes: Sequence[Running]) -> None:
    """Start the nodes that are not running, all at once: some wait at their start for a majority."""
    begun = [one for one in nodes if one.ended]
    for one in begun:
        one.begin()
    for one in begun:
        one.until_ready()
