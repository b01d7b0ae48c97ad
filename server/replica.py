"""One replica: its hub, its link to the broker, and optionally a generator in the same process."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from brokers.api import Adapter
from brokers.endpoint import Endpoint
from core.errors import FanbenchError, UsageError
from server.connection_limits import ConnectionLimits
from server.frame import Openings
from server.history import HistoryBound
from server.hub import STOPPED, Hub, HubSettings
from server.named_heartbeats import NamedHeartbeats
from server.settings import ServerSettings
from server.stop import end, end_by_and_by
from server.stream import StreamSettings
from server.subscription_settings import SubscriptionSettings
from server.subscriptions import Subscriptions

NS_PER_S = 1_000_000_000
CLOSE_S = 1.5
"""How long the generator may take to write its report, and the broker's connection to close."""

if TYPE_CHECKING:
    from server.io_uring import IoUring

Companion = Callable[[str, str | None], Awaitable[None]]
_log = logging.getLogger("fanbench.server")


def load_companion(name: str) -> Companion:
    """The companion that `docs/decisions/0001-companions.md` describes.

    Raises:
        UsageError: it is not installed.
    """
    for entry in entry_points(group="fanbench.companions", name=name):
        return cast(Companion, entry.load())
    raise UsageError(f"companion '{name}' is not installed; run 'make setup', or unset FANBENCH_GENERATE")


class Replica:
    """Created and used in one event loop. `on_failure` is called once if it cannot start or continue."""

    def __init__(
        self,
        settings: ServerSettings,
        name: str,
        broker: tuple[Adapter, Endpoint],
        connection_limits: ConnectionLimits,
        on_failure: Callable[[FanbenchError], None],
    ) -> None:
        adapter, self.endpoint = broker
        self.settings = settings
        self.name = name
        self.connection_limits = connection_limits
        self._loop = asyncio.get_running_loop()
        self.ring = _open_ring() if settings.batch_sends else None
        self.hub = Hub(_hub_settings(settings, name), self._loop, self.ring)
        link_settings = SubscriptionSettings(
            preset=settings.preset_topics(),
            max_topics=settings.max_topics,
            linger_s=settings.topic_linger_s,
            history_age_s=settings.history_age_s,
            ready_grace_s=settings.ready_grace_s,
        )
        self.link = Subscriptions(self.hub, adapter, self.endpoint, link_settings)
        self._named_heartbeats = NamedHeartbeats(name, self.endpoint.scheme, lambda: self.link.broker.connected)
        self.stream_settings = StreamSettings(
            server=name,
            openings=Openings(name, settings.retry_ms),
            named_heartbeats=self._named_heartbeats,
            client_buffer_bytes=settings.client_buffer_bytes,
            resume_overlap_ns=int(settings.resume_overlap_s * NS_PER_S),
        )
        self.joining = 0
        """Admitted clients without a stream yet."""
        self._generates = settings.generate or adapter.name == "memory"
        self._on_failure = on_failure
        self._tasks: list[asyncio.Task[None]] = []
        self._stop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to connect; the hub's clients wait until it is connected."""
        if self._generates:  # first: its imports block the loop for a second, in which no connect may be in flight
            self._tasks.append(self._watch(self._generate()))
        self._tasks.append(self._watch(self.link.run()))
        self.hub.tick(self._tick)

    def _watch(self, work: Awaitable[None]) -> asyncio.Task[None]:
        async def watched() -> None:
            try:
                await work
            except FanbenchError as error:
                self._on_failure(error)

        return asyncio.create_task(watched())

    async def _generate(self) -> None:
        run = load_companion("generator")
        await self.link.filled.wait()
        await run(self.settings.broker_url, self.settings.delivery)

    def _tick(self) -> None:
        self.link.tick()
        self._named_heartbeats.tick()
        if self.settings.max_stream_age_s:
            end(self.hub, self.hub.outlived(self._loop.time()), "max age")
        self.connection_limits.expire(self._loop.time() - self.settings.head_timeout_s)

    def begin_stop(self, on_end: Callable[[], None]) -> None:
        """Refuse new streams, end the open ones gradually, and call `on_end`. Returns at once."""

        async def stop() -> None:
            await end_by_and_by(self.hub, self.settings.stop_spread_s)
            on_end()

        self._stop = asyncio.create_task(stop())

    def end_streams(self) -> None:
        """End all streams at once, and refuse new ones."""
        self.hub.close()
        end(self.hub, list(self.hub.clients), STOPPED)

    async def close(self) -> None:
        """Stop everything, in bounded time."""
        self.end_streams()
        if self._stop is not None:
            self._stop.cancel()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSE_S)
            if late:
                _log.warning("%s: not closed within %g s; leaving it", self.endpoint, CLOSE_S)
        if self.ring is not None:
            self.ring.close()


def _open_ring() -> IoUring | None:
    if sys.platform != "linux":
        return None
    from server.io_uring import IoUring  # its numbers are Linux's

    try:
        return IoUring()
    except OSError as error:
        _log.info("each client needs a separate system call: %s", error.strerror)
        return None


def _hub_settings(settings: ServerSettings, name: str) -> HubSettings:
    bound = HistoryBound(settings.history_events, settings.history_bytes, int(settings.history_age_s * NS_PER_S))
    return HubSettings(
        server=name,
        history=bound,
        history_total_bytes=settings.history_total_bytes,
        max_event_bytes=settings.max_event_bytes,
        heartbeat_s=settings.heartbeat_s,
        max_stream_age_s=settings.max_stream_age_s,
        stall_timeout_s=settings.stall_timeout_s,
    )
