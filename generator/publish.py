"""The open-loop publisher: sends each event when it is due, even if earlier ones are not acknowledged yet."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from brokers.api import BeginsPublishing
from brokers.errors import BrokerError
from core.clock import ClockPair, now_ns
from core.contracts.generator_report import GeneratorReport
from core.contracts.measures import PhaseCounts
from core.contracts.session_rules import SessionRules
from core.latency_buckets import LatencyBuckets
from core.stamp import Phase, Stamp, new_stream
from core.topics import expand_topics
from generator.clocks import ReplicaClocks
from generator.in_flight import InFlight
from generator.lateness import Lateness
from generator.outage import WatchedPublish
from generator.outbox import Letter, Outbox
from generator.pace import NEXT_TURN, Pace
from generator.payload import build, build_around, require_size
from generator.plan import DueEvent, in_order, of_topics, plan_sessions, plan_topics
from generator.publishes import Publishes, error_words, failure_reason
from generator.schedule import NS_PER_S, Schedule
from generator.session_marks import MARK_AGAIN_NS, SessionMarks
from generator.settings import GeneratorSettings
from generator.share import WHOLE

_MAX_WAITING = 20_000
"""Limit of events that wait to be published again."""
PROBE_INTERVAL_S = 1.0
PROBES_HZ = 2_000.0
"""Limit of probes per second, to all topics: the clients of 100,000 topics must still be able to connect meanwhile."""
FLUSH_S = 10.0
"""Time limit for publishes in flight at the end: a broker that has just returned must first accept the backlog."""
_LOG_INTERVAL_S = 1.0
_GRAIN_NS = 250_000
"""Minimum time between two wake-ups; events due in between are sent together. In each program, a wake-up costs as much as an event."""
_AT_ONCE = 32
"""Overdue events, or probes, that begin publishing before the next turn of the event loop, about 0.3 ms of work."""

_log = logging.getLogger("fanbench.generator")


class EventPublisher:
    """Publishes one stream of events and accounts for them.

    With `rules`, the topics are sessions, which begin and end; otherwise they come from the settings. The stream gets
    a new name unless `stream` gives one; an instant in the settings gives all shares the same name.

    Raises:
        UsageError: the payload is smaller than its stamp, or the share has no topics.
    """

    def __init__(
        self,
        producer: Publishes,
        settings: GeneratorSettings,
        delivery: str = "at-most-once",
        rules: SessionRules | None = None,
        stream: str = "",
    ) -> None:
        self._publish_one = WatchedPublish(producer.publish)
        self._begins = producer if isinstance(producer, BeginsPublishing) else None
        self._outbox = Outbox(self._publish_one) if delivery == "at-least-once" else None
        self._count = 0
        self._settings = settings
        self._rules = rules
        self._share = settings.its_share()
        self._all_topics = [] if rules else expand_topics(settings.topics)
        self._topics = [] if rules else self._share.topics_of(self._all_topics)
        self.stream = stream or new_stream(settings.starts_ns())
        self.clocks = ReplicaClocks(MARK_AGAIN_NS if rules else 0)
        self._session_marks = SessionMarks(self.clocks)
        if self._topics and settings.stamp == "readable":
            require_size(settings.payload_bytes, self._topics)
        self._seqs: defaultdict[str, int] = defaultdict(int)
        self._published: defaultdict[str, Counter[Phase]] = defaultdict(Counter)
        self.failures: Counter[str] = Counter()
        """Events that were not published, by reason."""
        self._in_flight = InFlight()
        self._given_up = False
        """Whether the publishes in flight already count as failed: their outcome is then ignored."""
        self._last_logged_s = float("-inf")
        self._under_way: set[asyncio.Task[None]] = set()
        """The tasks for a producer that needs one per publish."""
        self._lateness = Lateness()
        self._measure_from_ns = 0
        self._scheduled = 0
        self._clock = ClockPair.read()
        self._step_ns = 0

    async def probe_until(self, start: asyncio.Event) -> None:
        """Publish warm-up events (probes) until `start` is set; sessions have none.

        Each topic gets a probe every PROBE_INTERVAL_S, or more rarely if that exceeded PROBES_HZ.
        """
        while not start.is_set():
            again_s = time.monotonic() + PROBE_INTERVAL_S
            for first in range(0, len(self._topics), _AT_ONCE):
                await self._room()
                for topic in self._topics[first : first + _AT_ONCE]:
                    self._begin(DueEvent(0, "warmup", topic, None), now_ns())
                self._send_begun()
                if await _set_within(start, _AT_ONCE / PROBES_HZ):
                    return
            await _set_within(start, again_s - time.monotonic())

    async def run(self, starts_ns: int = 0) -> None:
        """Follow the schedule to its end, starting at that instant or now. Call `flush` to wait for publishes in flight."""
        self._clock = ClockPair.read()
        start_ns = starts_ns or self._clock.wall_ns
        await Pace(self._steps(start_ns)).follow()
        await asyncio.sleep(0)  # lets the last publishes begin

    def _steps(self, start_ns: int) -> Iterator[int]:
        """Begin the events that are due; see `Pace`."""
        begun = 0
        for event in self._plan(start_ns):
            due_ns = start_ns + event.offset_ns
            if due_ns > (moment_ns := now_ns()):
                until_ns = max(due_ns, moment_ns + _GRAIN_NS)
                self._send_begun()
                yield until_ns
                begun = 0
            elif begun == _AT_ONCE:
                self._send_begun()
                yield NEXT_TURN
                begun = 0
            while self._in_flight.full:
                self._send_begun()
                yield now_ns() + _GRAIN_NS
            self._begin(event, due_ns)
            begun += 1
        self._send_begun()

    def _plan(self, start_ns: int) -> Iterator[DueEvent]:
        settings, rules = self._settings, self._rules
        self._measure_from_ns = start_ns + int((rules or settings).warmup_s * NS_PER_S)
        if rules is not None:
            return plan_sessions(rules, self._share)
        schedule = Schedule(settings.schedule, settings.rate_hz, settings.burst_events, settings.seed)
        at_once = settings.burst_events if settings.schedule == "burst" else 1
        topics = in_order(self._all_topics, settings.topic_order, at_once, settings.seed)
        events = plan_topics(schedule, topics, settings.warmup_s, settings.duration_s)
        return events if self._share == WHOLE else of_topics(events, frozenset(self._topics))

    async def flush(self, timeout_s: float = FLUSH_S) -> None:
        """Wait for the publishes in flight; those still open after `timeout_s`, or at a cancellation, count as failed."""
        self._send_begun()
        try:
            await self._all_done(timeout_s)
        except asyncio.CancelledError:
            self._give_up("not awaited at the end")
            raise
        finally:
            if self._outbox is not None:
                self._fail("not taken until the end", self._outbox.close())
            self._step_ns = self._clock.step_ns(ClockPair.read())

    async def _all_done(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while self.in_flight:
                    await self._in_flight.next_end()
        except TimeoutError:
            self._give_up(f"not done {timeout_s:g} s after the end")
        if self._outbox is not None:
            await self._outbox.emptied(timeout_s)

    def _give_up(self, reason: str) -> None:
        if not self._given_up:
            self._given_up = True
            self._fail(reason, self.in_flight)
            for task in self._under_way:
                task.cancel()

    async def _room(self) -> None:
        while self._in_flight.full:
            self._send_begun()
            await self._in_flight.next_end()

    def _begin(self, event: DueEvent, due_ns: int) -> None:
        """Begin to publish in this order, with the stamp close to the write: a task stamps in its first turn."""
        topic = event.topic
        seq = self._seqs[topic]
        self._seqs[topic] = seq + 1
        self._published[topic][event.phase] += 1
        self._scheduled += event.phase == "measure"
        self._count += 1
        self._in_flight.begin()
        if self._begins is not None:
            self._begin_without_task(self._begins, Letter(self._count, topic, self._build(event, seq, due_ns)))
            return
        task = asyncio.create_task(self._publish(event, seq, due_ns, self._count))
        self._under_way.add(task)
        task.add_done_callback(self._task_done)

    def _begin_without_task(self, producer: BeginsPublishing, letter: Letter) -> None:
        if self._outbox:  # not empty: younger events wait their turn
            self._keep(self._outbox, letter)
            self._in_flight.end()
        else:
            producer.begin(letter.topic, letter.payload, self._publish_one.watch(partial(self._done, letter)))

    def _send_begun(self) -> None:
        if self._begins is not None:
            self._begins.flush()

    def _done(self, letter: Letter, error: BrokerError | None) -> None:
        self._in_flight.end()
        if error is not None:
            self._failed(letter, error)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._in_flight.end()

    def _build(self, event: DueEvent, seq: int, due_ns: int) -> bytes:
        sent_ns = now_ns()
        self._lateness.note(due_ns, sent_ns, measured=event.phase == "measure")
        stamp = Stamp(self.stream, seq, event.topic, event.phase, due_ns, sent_ns)
        if event.content is None:
            return build(stamp, self._settings.payload_bytes, self._settings.stamp, self.clocks.mark)
        content = self._session_marks.before(event.topic, seq, sent_ns) + event.content
        return build_around(stamp, content, self._settings.stamp)

    async def _publish(self, event: DueEvent, seq: int, due_ns: int, number: int) -> None:
        letter = Letter(number, event.topic, self._build(event, seq, due_ns))
        if self._outbox:  # not empty: younger events wait their turn
            self._keep(self._outbox, letter)
            return
        try:
            await self._publish_one(letter.topic, letter.payload)
        except Exception as error:  # the adapter may be third-party, or its library have errors that it does not know
            self._failed(letter, error)

    def _failed(self, letter: Letter, error: Exception) -> None:
        if self._given_up:  # it is counted already
            return
        if self._outbox is None:
            self._fail(failure_reason(error))
        else:
            self._keep(self._outbox, letter)
        if time.monotonic() - self._last_logged_s >= _LOG_INTERVAL_S:
            self._last_logged_s = time.monotonic()
            _log.warning("%s (%d failed so far)", error_words(error), self.failed)

    def _keep(self, outbox: Outbox, letter: Letter) -> None:
        if len(outbox) < _MAX_WAITING:
            outbox.add(letter)
        else:
            self._fail(f"more than {_MAX_WAITING} waited")

    def _fail(self, reason: str, events: int = 1) -> None:
        if events:
            self.failures[reason] += events

    @property
    def in_flight(self) -> int:
        """Publishes in flight."""
        return self._in_flight.count

    @property
    def schedule_lag(self) -> LatencyBuckets:
        """How late events were sent."""
        return self._lateness.buckets

    @property
    def failed(self) -> int:
        """Events that were not published."""
        return self.failures.total()

    @property
    def retried(self) -> int:
        """Events that a later attempt published."""
        return self._outbox.retried if self._outbox is not None else 0

    @property
    def publishing(self) -> LatencyBuckets:
        """Time from sending to the fulfilled delivery promise."""
        return self._publish_one.took

    def sent(self) -> dict[str, int]:
        """Number of events handed to the adapter so far, by phase."""
        return {"warmup": self._count - self._scheduled, "measure": self._scheduled}

    def report(self) -> GeneratorReport:
        """The report of what was published so far."""
        lateness, histogram = self._lateness, self._lateness.histogram()
        # A phase that ended late lasted longer, which lowers the rate. One without an end counts as long as it lasted.
        planned_s = (self._rules or self._settings).duration_s
        took_s = max(planned_s, (lateness.last_ns - self._measure_from_ns) / NS_PER_S, 1 / NS_PER_S)
        return GeneratorReport(
            stream=self.stream,
            published={topic: _counts(phases) for topic, phases in self._published.items() if phases},
            failed=self.failed,
            failures=dict(self.failures),
            retried=self.retried,
            longest_outage_ms=self._publish_one.longest_ms(),
            scheduled=self._scheduled,
            offered_hz=self._scheduled / (planned_s or took_s),
            achieved_hz=lateness.measured / took_s,
            measure_started_ns=lateness.first_ns,
            measure_ended_ns=lateness.last_ns,
            lateness_ms=histogram.summary_ms(),
            lateness_histogram=histogram.encode(),
            lateness_negative=histogram.negative,
            clock_step_ns=self._step_ns,
            clocks=self.clocks.offsets(),
            cpu_s=time.process_time(),
        )


def _counts(phases: Counter[Phase]) -> PhaseCounts:
    return PhaseCounts(warmup=phases["warmup"], measure=phases["measure"])


async def _set_within(event: asyncio.Event, timeout_s: float) -> bool:
    with suppress(TimeoutError):  # Python 3.11's wait_for loses a cancellation that comes together with the event
        async with asyncio.timeout(timeout_s):
            await event.wait()
    return event.is_set()
