"""The open-loop publisher: each event is sent when it is due, whether or not earlier ones were acknowledged."""

from __future__ import annotations

import asyncio
import logging
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator

from core.clock import ClockPair, now_ns
from core.contracts.generator_report import GeneratorReport
from core.contracts.measures import PhaseCounts
from core.contracts.session_rules import SessionRules
from core.errors import FanbenchError
from core.histogram import Histogram
from core.latency_buckets import LatencyBuckets
from core.stamp import Phase, Stamp, new_stream
from core.topics import expand_topics
from generator.outage import WatchedPublish
from generator.outbox import Letter, Outbox
from generator.payload import build, build_around, require_size
from generator.plan import DueEvent, in_order, plan_sessions, plan_topics
from generator.publishes import Publishes, failure_reason
from generator.schedule import NS_PER_S, Schedule
from generator.settings import GeneratorSettings

MAX_IN_FLIGHT = 20_000
"""Publishes in flight at once. Past it the generator waits, is late, and the schedule hop shows it: memory stays bounded."""
PROBE_INTERVAL_S = 1.0
FLUSH_S = 10.0
"""For what is in flight at the end: a broker that has just come back has everything to take that waited for it."""
_LOG_INTERVAL_S = 1.0
_FOLD = 4_096
"""Latenesses kept before they are folded, a third of a millisecond's work."""
_SHORT_NS = 5_000_000
_AT_ONCE = 32
"""Overdue events whose publishes are begun before they have their turn: a third of a millisecond's work."""

_log = logging.getLogger("fanbench.generator")


class EventPublisher:
    """One stream of events, and the account of what became of them.

    With `rules` the topics are sessions, which begin and end; without, those of the settings.

    Raises:
        UsageError: the payload is smaller than its stamp.
    """

    def __init__(
        self,
        producer: Publishes,
        settings: GeneratorSettings,
        delivery: str = "at-most-once",
        rules: SessionRules | None = None,
    ) -> None:
        self._publish_one = WatchedPublish(producer.publish)
        self._outbox = Outbox(self._publish_one) if delivery == "at-least-once" else None
        self._count = 0
        self._settings = settings
        self._rules = rules
        self._topics = [] if rules else expand_topics(settings.topics)
        self.stream = new_stream()
        if self._topics and settings.stamp == "readable":
            require_size(settings.payload_bytes, self._topics)
        self._seqs: defaultdict[str, int] = defaultdict(int)
        self._published: defaultdict[str, Counter[Phase]] = defaultdict(Counter)
        self.failures: Counter[str] = Counter()
        """Events that were not published, by reason."""
        self.schedule_lag = LatencyBuckets()
        self._last_logged_s = float("-inf")
        self._under_way: set[asyncio.Task[None]] = set()
        self._lateness = Histogram()
        Histogram().record_ns([0])  # numpy's first time takes 40 ms, by which events would be late
        self._lateness_ns = array("q")
        self._measure_from_ns = 0
        self._first_ns = self._last_ns = 0
        self._scheduled = self._measured = 0
        self._clock = ClockPair.read()
        self._step_ns = 0

    async def probe_until(self, start: asyncio.Event) -> None:
        """Publish one warm-up event (a probe) on each topic every second until `start` is set; sessions have none."""
        while not start.is_set():
            for topic in self._topics:
                await self._room()
                self._begin(DueEvent(0, "warmup", topic, None), now_ns())
                await asyncio.sleep(0)
            try:
                await asyncio.wait_for(start.wait(), PROBE_INTERVAL_S)
            except TimeoutError:
                continue

    async def run(self, starts_ns: int = 0) -> None:
        """Follow the schedule to its end, from that instant or from now. What is in flight then is waited for by `flush`."""
        self._clock = ClockPair.read()
        start_ns = starts_ns or self._clock.wall_ns
        begun = 0
        for event in self._plan(start_ns):
            due_ns = start_ns + event.offset_ns
            if due_ns > now_ns():
                await self._until(due_ns)
                begun = 0
            elif begun == _AT_ONCE:
                await asyncio.sleep(0)
                begun = 0
            await self._room()
            self._begin(event, due_ns)
            begun += 1
        await asyncio.sleep(0)  # the last ones begin

    async def _until(self, due_ns: int) -> None:
        # uvloop, in a replica, may wake a millisecond early, and late by what the loop was busy with when it set the
        # timer: a fan-out. So a long wait is halved, until nothing was busy; nothing is sent before it is due.
        while (wait_ns := due_ns - now_ns()) > 0:  # noqa: ASYNC110 - for a moment, not for an event
            await asyncio.sleep((wait_ns if wait_ns < _SHORT_NS else wait_ns // 2) / NS_PER_S)

    def _plan(self, start_ns: int) -> Iterator[DueEvent]:
        settings, rules = self._settings, self._rules
        self._measure_from_ns = start_ns + int((rules or settings).warmup_s * NS_PER_S)
        if rules is not None:
            return plan_sessions(rules)
        schedule = Schedule(settings.schedule, settings.rate_hz, settings.burst_events, settings.seed)
        at_once = settings.burst_events if settings.schedule == "burst" else 1
        topics = in_order(self._topics, settings.topic_order, at_once, settings.seed)
        return plan_topics(schedule, topics, settings.warmup_s, settings.duration_s)

    async def flush(self, timeout_s: float = FLUSH_S) -> None:
        """Wait for the publishes in flight; those still open after `timeout_s` count as failed."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=timeout_s)
            for task in late:
                task.cancel()
            self._fail(f"not done {timeout_s:g} s after the end", len(late))
        if self._outbox is not None:
            self._fail("not taken until the end", await self._outbox.emptied(timeout_s))
        self._step_ns = self._clock.step_ns(ClockPair.read())

    async def _room(self) -> None:
        while len(self._under_way) >= MAX_IN_FLIGHT:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)

    def _begin(self, event: DueEvent, due_ns: int) -> None:
        """Begin to publish: the tasks have their first turn in this order, and stamp there, next to the write."""
        topic = event.topic
        seq = self._seqs[topic]
        self._seqs[topic] = seq + 1
        self._published[topic][event.phase] += 1
        self._scheduled += event.phase == "measure"
        self._count += 1
        task = asyncio.create_task(self._publish(event, seq, due_ns, self._count))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def _build(self, event: DueEvent, seq: int, due_ns: int) -> bytes:
        sent_ns = now_ns()
        self.schedule_lag.add(sent_ns - due_ns)
        if event.phase == "measure":
            self._note_lateness(sent_ns - due_ns)
            self._first_ns = self._first_ns or sent_ns
            self._last_ns = sent_ns
        stamp = Stamp(self.stream, seq, event.topic, event.phase, due_ns, sent_ns)
        if event.content is None:
            return build(stamp, self._settings.payload_bytes, self._settings.stamp)
        return build_around(stamp, event.content, self._settings.stamp)

    def _note_lateness(self, lateness_ns: int) -> None:
        self._measured += 1
        self._lateness_ns.append(lateness_ns)
        if len(self._lateness_ns) >= _FOLD:
            self._fold_lateness()

    def _fold_lateness(self) -> None:
        self._lateness.record_ns(self._lateness_ns)
        self._lateness_ns = array("q")

    async def _publish(self, event: DueEvent, seq: int, due_ns: int, number: int) -> None:
        letter = Letter(number, event.topic, self._build(event, seq, due_ns))
        if self._outbox:  # not empty: what is younger waits its turn
            self._keep(self._outbox, letter)
            return
        try:
            await self._publish_one(letter.topic, letter.payload)
        except FanbenchError as error:
            if self._outbox is None:
                self._fail(failure_reason(error))
            else:
                self._keep(self._outbox, letter)
            if time.monotonic() - self._last_logged_s >= _LOG_INTERVAL_S:
                self._last_logged_s = time.monotonic()
                _log.warning("%s (%d failed so far)", error, self.failed)

    def _keep(self, outbox: Outbox, letter: Letter) -> None:
        if len(outbox) < MAX_IN_FLIGHT:
            outbox.add(letter)
        else:
            self._fail(f"more than {MAX_IN_FLIGHT} waited")

    def _fail(self, reason: str, events: int = 1) -> None:
        if events:
            self.failures[reason] += events

    @property
    def failed(self) -> int:
        """Events that were not published."""
        return self.failures.total()

    @property
    def in_flight(self) -> int:
        """Publishes in flight."""
        return len(self._under_way)

    @property
    def retried(self) -> int:
        """Events published at a later try."""
        return self._outbox.retried if self._outbox is not None else 0

    @property
    def publishing(self) -> LatencyBuckets:
        """From sent to the delivery promise being met."""
        return self._publish_one.took

    def sent(self) -> dict[str, int]:
        """Events handed to the adapter so far, by phase."""
        return {"warmup": self._count - self._scheduled, "measure": self._scheduled}

    def report(self) -> GeneratorReport:
        """What was published so far."""
        self._fold_lateness()
        lateness = self._lateness
        # A phase that ended late took longer, which lowers the rate; one without an end is as long as it took.
        planned_s = (self._rules or self._settings).duration_s
        took_s = max(planned_s, (self._last_ns - self._measure_from_ns) / NS_PER_S, 1 / NS_PER_S)
        return GeneratorReport(
            stream=self.stream,
            published={topic: _counts(phases) for topic, phases in self._published.items() if phases},
            failed=self.failed,
            failures=dict(self.failures),
            retried=self.retried,
            longest_outage_ms=self._publish_one.longest_ms(),
            scheduled=self._scheduled,
            offered_hz=self._scheduled / (planned_s or took_s),
            achieved_hz=self._measured / took_s,
            measure_started_ns=self._first_ns,
            measure_ended_ns=self._last_ns,
            lateness_ms=lateness.summary_ms(),
            lateness_histogram=lateness.encode(),
            lateness_negative=lateness.negative,
            clock_step_ns=self._step_ns,
            cpu_s=time.process_time(),
        )


def _counts(phases: Counter[Phase]) -> PhaseCounts:
    return PhaseCounts(warmup=phases["warmup"], measure=phases["measure"])
