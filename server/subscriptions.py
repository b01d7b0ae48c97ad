"""The replica's side of the broker: one consumer, with a subscription for each topic that has clients."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from brokers.api import Adapter, Consumer
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind, Refusal, TopicRefusedError
from brokers.reconnect import delays_s, reason
from core.clock import now_ns
from core.errors import FanbenchError
from server.broker_state import BrokerState
from server.hub import Hub
from server.reading import read_into
from server.refused_topics import RefusedTopics
from server.replaying import all_replayed
from server.subscription_settings import SubscriptionSettings, TooManyTopicsError
from server.topic import Topic

Enough = Callable[[Sequence[Topic]], bool]
POLL_S = 0.02
_SLACK_S = 2.0
_log = logging.getLogger("fanbench.server")


def all_of_it(_: Sequence[Topic]) -> bool:
    """The default for `enough`: nothing suffices until the history is loaded."""
    return False


class Subscriptions:
    """Keeps the hub's topics subscribed while `run` runs; clients `require` topics and `release` them."""

    def __init__(self, hub: Hub, adapter: Adapter, endpoint: Endpoint, settings: SubscriptionSettings) -> None:
        self.filled = asyncio.Event()
        """The topics of the settings are subscribed, and their history is loaded."""
        self._hub = hub
        self._adapter = adapter
        self._endpoint = endpoint
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self.broker = BrokerState(settings.ready_grace_s, str(endpoint), self._loop)
        self._refused = RefusedTopics(self._loop)
        self._confirmed: dict[str, asyncio.Future[None]] = {}
        """For each topic, a future that is set when the broker has confirmed it and its history has arrived."""
        self._subscribed: dict[str, asyncio.Future[None]] = {}
        """For each topic, a future that is set when the broker has confirmed it."""
        self._wanted: list[str] = []
        self._polling = 0
        """Clients that poll whether enough of the history has arrived."""
        self._idle: dict[str, float] = {}
        self._work = asyncio.Event()
        self._fills: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether clients can be served here: subscribed, and connected within the grace period."""
        return self.filled.is_set() and self.broker.within_grace

    async def require(self, names: Sequence[str], enough: Enough = all_of_it) -> list[Topic]:
        """Return once these topics are subscribed, and their history is there; they stay subscribed until `release`.

        `enough` says for the topics whether sufficient history has arrived; the client then gets the rest as it
        arrives.

        Raises:
            TooManyTopicsError: there is no room for another topic. TopicRefusedError: the broker refused one of these,
            now or a moment ago. BrokerError: the broker did not answer.
        """
        for name in names:
            if (refused := self._refused.find(name)) is not None:
                raise refused
        new = [name for name in names if name not in self._confirmed]
        if len(self._confirmed) + len(new) > self._settings.max_topics:
            raise TooManyTopicsError(
                f"this replica has {len(self._confirmed)} topics, its limit is {self._settings.max_topics}; "
                "ask again later, or raise FANBENCH_MAX_TOPICS"
            )
        for name in new:
            self._want(name)
        topics = [self._hub.topics[name] for name in names]
        subscribed, filled = [self._subscribed[name] for name in names], [self._confirmed[name] for name in names]
        for topic in topics:
            topic.users += 1
            self._idle.pop(topic.name, None)
        try:
            for future in subscribed:
                if not future.done():
                    await asyncio.shield(future)
                future.result()
            if enough is not all_of_it:
                await self._until_enough(filled, topics, enough)
            for future in filled:
                if enough is all_of_it and not future.done():
                    await asyncio.shield(future)
                if future.done():
                    future.result()
        except BaseException:
            self.release(topics)
            raise
        return topics

    async def _until_enough(
        self, filled: Sequence[asyncio.Future[None]], topics: Sequence[Topic], enough: Enough
    ) -> None:
        self._polling += 1
        try:
            while not all(future.done() for future in filled) and not enough(topics):  # noqa: ASYNC110 - a history notifies nobody
                # If more clients poll, each polls less often: polling must not delay the history.
                await asyncio.sleep(POLL_S * (1 + self._polling / 50))
        finally:
            self._polling -= 1

    def release(self, topics: Sequence[Topic]) -> None:
        """Undo one `require`. A topic that nobody uses lingers."""
        for topic in topics:
            topic.users -= 1
            if topic.users == 0 and self._hub.topics.get(topic.name) is topic:
                self._linger(topic.name)

    def tick(self) -> None:
        """Called once a second: unsubscribe topics that have lingered long enough, and log if the broker is away."""
        self.broker.tell_away()
        self._refused.expire()
        if self._idle and next(iter(self._idle.values())) <= self._loop.time():
            self._work.set()

    def _linger(self, name: str) -> None:
        if name not in self._settings.preset:
            self._idle[name] = self._loop.time() + self._settings.linger_s

    def _want(self, name: str) -> None:
        self._confirmed[name], self._subscribed[name] = self._loop.create_future(), self._loop.create_future()
        self._hub.open_topic(name, now_ns())
        self._wanted.append(name)
        self._work.set()

    async def run(self) -> None:
        """Connect, subscribe, and pass on what arrives, until cancelled.

        Raises:
            BrokerError: the first connection or subscription failed. Later failures are retried forever.
        """
        for name in self._settings.preset:
            self._want(name)
        for delay_s in delays_s():
            try:
                async with self._adapter.consumer(self._endpoint) as consumer:
                    await self._serve(consumer)
                cause = "the adapter's consumer ended"
            except (
                Exception
            ) as error:  # the adapter may be third-party; its errors must not affect the replica's clients
                if isinstance(error, FanbenchError) and not self.filled.is_set():
                    raise
                cause = f"{type(error).__name__}: {self._endpoint.hide_secrets(reason(error))}"
            self.broker.note(False, cause)
            # Adapters reconnect automatically, so this one gave up.
            _log.error("%s: %s; starting its consumer again", self._endpoint, cause)
            self._hub.gap(f"connection lost: {cause}", None, None)
            self._wanted = list(self._confirmed)
            self._work.set()
            await asyncio.sleep(delay_s)

    async def _serve(self, consumer: Consumer) -> None:
        works = (
            read_into(self._hub, consumer, self._endpoint),
            self._keep(consumer),
            self.broker.follow(consumer.link),
        )
        tasks = [asyncio.create_task(work) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, consumer: Consumer) -> None:
        """Subscribe wanted topics, in batches, and unsubscribe lingering ones, one operation at a time."""
        while True:
            if self._wanted:
                batch, self._wanted = self._wanted, []
                await self._subscribe(consumer, batch)
            if not self.filled.is_set() and not self._wanted:
                await asyncio.gather(*self._fills)
                self.filled.set()
            await self._work.wait()
            self._work.clear()
            await self._let_go(consumer)

    async def _subscribe(self, consumer: Consumer, batch: list[str]) -> None:
        # The history of a topic that was live before the consumer restarted is not loaded again.
        fresh = [name for name in batch if not self._confirmed[name].done()]
        since_ns = None
        if self._adapter.replay and len(fresh) == len(batch):
            since_ns = now_ns() - int(self._settings.history_age_s * 1e9)
        topics = [self._hub.topics[name] for name in fresh]
        for topic in topics:
            topic.filling = since_ns is not None
        try:
            async with asyncio.timeout(self._endpoint.timeout_s + _SLACK_S):
                refused = await consumer.subscribe(*batch, since_ns=since_ns)
        except (FanbenchError, TimeoutError) as error:
            if not self.filled.is_set() or len(fresh) < len(batch):  # clients listen to the other topics: restart
                raise self._unconfirmed(error) from None
            if len(batch) > 1 and self.broker.is_about_a_part(error):
                for half in (batch[::2], batch[1::2]):
                    await self._subscribe(consumer, half)
                return
            self._fail(dict.fromkeys(fresh, self._unconfirmed(error)))
            return
        if refused:
            self._refuse(refused)
            topics = [topic for topic in topics if topic.name not in refused]
        moment_ns = now_ns()
        for topic in topics:
            topic.subscribed_ns = moment_ns
            topic.heard_s = self._loop.time()
            topic.history.complete_since_ns = since_ns or moment_ns
            self._subscribed[topic.name].set_result(None)
        if since_ns is None:
            self._confirm(topics)
        else:
            task = asyncio.create_task(self._fill(topics))
            self._fills.add(task)
            task.add_done_callback(self._fills.discard)

    def _unconfirmed(self, error: Exception) -> FanbenchError:
        silent = BrokerError(self._endpoint, "subscribe", "no answer", CauseKind.SILENT)
        return error if isinstance(error, FanbenchError) else silent

    def _refuse(self, refused: Mapping[str, Refusal]) -> None:
        """Notify only the clients that requested these topics.

        Raises:
            TopicRefusedError: one of them is a topic of the settings, which this replica cannot start without.
        """
        errors = {name: TopicRefusedError(self._endpoint, "subscribe", name, why) for name, why in refused.items()}
        for name, error in errors.items():
            if not self.filled.is_set() and name in self._settings.preset:
                raise error
            self._refused.add(name, error)
        self._fail({name: error for name, error in errors.items() if not self._confirmed[name].done()})
        for name, refusal in refused.items():  # confirmed earlier, but no longer
            if name in self._confirmed:
                _log.warning("%s", errors[name])
                self._hub.gap(f"{refusal.kind}: {errors[name].refusal.reason}", None, name)

    async def _fill(self, topics: list[Topic]) -> None:
        await all_replayed(topics, self._loop)
        self._confirm(topics)

    def _confirm(self, topics: list[Topic]) -> None:
        for topic in topics:
            topic.filling = False
            self._confirmed[topic.name].set_result(None)
            if topic.users == 0:
                self._linger(topic.name)

    def _fail(self, errors: Mapping[str, FanbenchError]) -> None:
        for error in dict.fromkeys(errors.values()):
            _log.warning("%s", error)
        for name, error in errors.items():
            futures = [self._subscribed.pop(name), self._confirmed.pop(name)]
            self._idle.pop(name, None)
            self._hub.close_topic(name)
            for future in futures:
                future.set_exception(error)
                future.exception()  # perhaps no client wants it any more

    async def _let_go(self, consumer: Consumer) -> None:
        now_s = self._loop.time()
        names = [name for name, until_s in self._idle.items() if until_s <= now_s and self._confirmed[name].done()]
        for name in names:
            del self._idle[name], self._confirmed[name], self._subscribed[name]
            self._hub.close_topic(name)
        if names:
            try:
                async with asyncio.timeout(self._endpoint.timeout_s + _SLACK_S):
                    await consumer.unsubscribe(*names)
            except (FanbenchError, TimeoutError) as error:
                _log.warning("%s", self._unconfirmed(error))
