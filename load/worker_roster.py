"""The workers that Locust's master knows; its runner is passed in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import gevent

LOOK_EVERY_S = 1.0

CanReach = Callable[[Any, str], bool]
"""Whether a runner has a connection to the worker of that name."""


class WorkerRoster:
    """The present workers, and Locust's actions when they change."""

    def __init__(self, runner: Any, can_reach: CanReach, networks: Mapping[str, str]) -> None:
        """`networks` has the network of each worker by its name, and grows."""
        self._runner = runner
        self._networks = networks
        self._can_reach = can_reach
        self._looked_s = 0.0

    def names(self) -> list[str]:
        """The workers that Locust considers alive."""
        return [name for name in self._runner.clients if self.has(name)]

    def has(self, name: str) -> bool:
        """Whether Locust considers a worker alive."""
        node = self._runner.clients.get(name)
        return node is not None and node.state != "missing"

    def beside(self, name: str) -> int:
        """The number of other workers whose connections use the same ports as this one's."""
        network = self._networks.get(name)
        return sum(self._networks.get(other) == network for other in self.names() if other != name) if network else 0

    def dismiss(self, name: str) -> None:
        """Make a worker end."""
        self._runner.send_message("quit", client_id=name)

    def look_for_lost(self) -> None:
        """Make Locust treat a worker without a connection as missing, without waiting for its heartbeats."""
        now_s = time.monotonic()
        if now_s < self._looked_s + LOOK_EVERY_S:
            return
        self._looked_s = now_s
        for name in self.names():
            if not self._can_reach(self._runner, name):
                self._runner.clients[name].heartbeat = -1

    def rebalance(self) -> None:
        """Make Locust redistribute users if it has noticed a change of workers but does not act.

        It does not act after a worker was missing, nor in the second after a ramp, so a lost worker's users would run
        nowhere.
        """
        dispatcher = self._runner._users_dispatcher
        waits = dispatcher is not None and dispatcher._rebalance and not dispatcher.dispatch_in_progress
        if waits and self._runner.state == "running" and self._runner.worker_count:
            gevent.spawn(self._runner.start, self._runner.target_user_count, self._runner.spawn_rate)
