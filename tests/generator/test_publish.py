"""The publisher: open loop, sequences without holes, correct counts."""

import asyncio
import time
from collections import defaultdict
from functools import partial
from pathlib import Path

import pytest

from brokers.endpoint import parse_url
from brokers.errors import BrokerError
from core.clock import ClockPair
from core.errors import UsageError
from core.scenario import load_scenario
from core.stamp import decode
from generator.publish import EventPublisher
from generator.settings import GeneratorSettings


class Recorder:
    """A producer that keeps its messages; until `stall` is set, no publish returns."""

    def __init__(self, stalled=False, fail=False):
        self.stamps = []
        self.release = asyncio.Event()
        if not stalled:
            self.release.set()
        self.fail = fail

    async def publish(self, topic, payload):
        self.stamps.append(decode(payload))
        assert self.stamps[-1].topic == topic
        await self.release.wait()
        if self.fail:
            raise BrokerError(parse_url("redis://x", "at-most-once"), "publish", "gone")


class Beginner(Recorder):
    """A Recorder that begins publishes without a task for each; nothing arrives before it is sent."""

    def __init__(self, stalled=False, fail=False):
        super().__init__(stalled, fail)
        self.begun = []
        self.open = []

    def begin(self, topic, payload, done):
        self.begun.append((decode(payload), done))

    def flush(self):
        self.stamps += [stamp for stamp, _ in self.begun]
        self.open += [done for _, done in self.begun]
        self.begun = []
        while self.open and self.release.is_set():
            error = BrokerError(parse_url("redis://x", "at-most-once"), "publish", "gone") if self.fail else None
            self.open.pop(0)(error)


@pytest.fixture(params=[Recorder, Beginner])
def recorder_of(request):
    return request.param


def settings(**fields):
    return GeneratorSettings(**({"rate_hz": 200, "warmup_s": 0.1, "duration_s": 0.3} | fields))


async def test_sequences_are_gap_free_per_topic_and_phases_follow_each_other(recorder_of):
    recorder = recorder_of()
    publisher = EventPublisher(recorder, settings(topics="a,b,c"))
    await publisher.run()
    await publisher.flush()
    by_topic = defaultdict(list)
    for stamp in recorder.stamps:
        by_topic[stamp.topic].append(stamp)
    assert set(by_topic) == {"a", "b", "c"}
    for stamps in by_topic.values():
        assert [stamp.seq for stamp in stamps] == list(range(len(stamps)))
        phases = [stamp.phase for stamp in stamps]
        assert phases == sorted(phases, reverse=True)  # warmup, then measure
    assert [stamp.phase for stamp in recorder.stamps].count("warmup") == 20
    assert sum(publisher.report().measured().values()) == 60


async def test_the_schedule_never_waits_for_an_acknowledgement(recorder_of):
    recorder = recorder_of(stalled=True)
    publisher = EventPublisher(recorder, settings())
    async with asyncio.timeout(10):
        await publisher.run()
    assert len(recorder.stamps) == 80
    recorder.release.set()
    await publisher.flush()
    assert publisher.in_flight == 0
    assert publisher.report().failed == 0


async def test_due_instants_are_the_schedules_and_sends_are_never_early(recorder_of):
    recorder = recorder_of()
    await EventPublisher(recorder, settings(warmup_s=0)).run()
    first = recorder.stamps[0].due_ns
    assert [stamp.due_ns - first for stamp in recorder.stamps] == [i * 5_000_000 for i in range(60)]
    assert all(stamp.sent_ns >= stamp.due_ns for stamp in recorder.stamps)


async def test_a_stall_shows_as_lateness_and_nothing_due_is_skipped(recorder_of):
    recorder = recorder_of()
    publisher = EventPublisher(recorder, settings(warmup_s=0))
    task = asyncio.create_task(publisher.run())
    while len(recorder.stamps) < 5:
        await asyncio.sleep(0)
    time.sleep(0.2)  # blocks the event loop: this is the fault, not a wait
    await task
    await publisher.flush()
    report = publisher.report()
    assert report.measured()["events"] == 60
    assert report.lateness_ms.max >= 150


async def test_failed_publishes_are_counted(recorder_of):
    publisher = EventPublisher(recorder_of(fail=True), settings())
    await publisher.run()
    await publisher.flush()
    assert publisher.report().failed == 80


@pytest.mark.parametrize("delivery", ["at-most-once", "at-least-once"])
async def test_an_error_that_no_adapter_should_raise_is_no_success(delivery):
    class Careless(Recorder):
        async def publish(self, topic, payload):
            raise RuntimeError("the handler is closed")

    publisher = EventPublisher(Careless(), settings(), delivery)
    await publisher.run()
    await publisher.flush(timeout_s=0.05)
    report = publisher.report()
    reason = "RuntimeError" if delivery == "at-most-once" else "not taken until the end"
    assert (report.failures, report.retried) == ({reason: 80}, 0)
    assert report.longest_outage_ms > 0


async def test_publishes_still_open_at_the_end_count_as_failed(recorder_of):
    publisher = EventPublisher(recorder_of(stalled=True), settings())
    await publisher.run()
    await publisher.flush(timeout_s=0.05)
    assert publisher.report().failed == 80


async def test_probes_come_before_the_schedule_and_do_not_count(recorder_of):
    recorder, start = recorder_of(), asyncio.Event()
    publisher = EventPublisher(recorder, settings(topics="a,b"))
    probing = asyncio.create_task(publisher.probe_until(start))
    while len(recorder.stamps) < 2:
        await asyncio.sleep(0)
    start.set()
    await probing
    assert [(s.topic, s.seq, s.phase) for s in recorder.stamps[:2]] == [("a", 0, "warmup"), ("b", 0, "warmup")]


async def test_the_start_does_not_wait_until_every_topic_has_its_probe(recorder_of):
    recorder, start = recorder_of(), asyncio.Event()
    probing = asyncio.create_task(EventPublisher(recorder, settings(topics="t-{0..99999}")).probe_until(start))
    while not recorder.stamps:
        await asyncio.sleep(0)
    start.set()
    async with asyncio.timeout(20):
        await probing
    assert len(recorder.stamps) < 1_000


async def test_probes_to_many_topics_leave_time_for_their_clients_to_connect(monkeypatch, recorder_of):
    monkeypatch.setattr("generator.publish.PROBES_HZ", 0.1)
    recorder, start = recorder_of(), asyncio.Event()
    probing = asyncio.create_task(EventPublisher(recorder, settings(topics="t-{0..99}")).probe_until(start))
    for _ in range(500):
        await asyncio.sleep(0)
    assert 1 <= len(recorder.stamps) <= 50
    start.set()
    await probing


async def test_a_cancellation_that_comes_together_with_the_start_is_not_lost():
    recorder, start = Recorder(), asyncio.Event()
    probing = asyncio.create_task(EventPublisher(recorder, settings()).probe_until(start))
    while not recorder.stamps:
        await asyncio.sleep(0)
    for _ in range(5):  # it waits for the start
        await asyncio.sleep(0)
    start.set()
    probing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probing


@pytest.mark.parametrize(
    ("broker", "failures"),
    [
        (lambda: Recorder(stalled=True), {"not awaited at the end": 80}),
        (lambda: Beginner(stalled=True), {"not awaited at the end": 80}),
        (lambda: Flaky(), {"not taken until the end": 80}),
    ],
    ids=["tasks", "begun", "outbox"],
)
async def test_a_flush_that_is_cancelled_counts_what_it_no_longer_awaits(broker, failures):
    publisher = EventPublisher(broker(), settings(), "at-least-once")
    await publisher.run()
    flushing = asyncio.create_task(publisher.flush())
    for _ in range(5):
        await asyncio.sleep(0)
    flushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flushing
    assert publisher.report().failures == failures


class VirtualTime:
    """The publisher's clock and sleep, simulated: time passes only while it sleeps."""

    def __init__(self, monkeypatch):
        self.now_ns = 1_700_000_000_000_000_000
        for module in ("publish", "pace"):
            monkeypatch.setattr(f"generator.{module}.now_ns", lambda: self.now_ns)
        monkeypatch.setattr("generator.publish.ClockPair.read", lambda: ClockPair(self.now_ns, self.now_ns))
        self._turn = partial(asyncio.sleep, 0)
        monkeypatch.setattr("generator.pace.Alarm.set", lambda alarm, delay_ns: self.set(alarm, delay_ns))
        monkeypatch.setattr(
            "generator.publish.asyncio.sleep", lambda seconds: self.sleep(self.now_ns + round(seconds * 1e9))
        )
        self._ringing = None

    def set(self, alarm, delay_ns):
        async def ring(until_ns):
            await self.sleep(until_ns)
            alarm._ring()

        self._ringing = asyncio.create_task(ring(self.now_ns + delay_ns))

    async def sleep(self, until_ns):
        await self._turn()  # ready callbacks run first, which may take time, then the timer
        self.now_ns = max(self.now_ns, until_ns)
        await self._turn()


async def achieved_share(**fields):
    """The share of its schedule that an undisturbed generator achieves."""
    publisher = EventPublisher(Recorder(), GeneratorSettings(**fields))
    await publisher.run()
    await publisher.flush()
    report = publisher.report()
    assert report.scheduled == sum(report.measured().values()) > 0
    return report.achieved_hz / report.offered_hz


SCENARIOS = sorted((Path(__file__).parents[2] / "scenarios").glob("*.toml"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.slow
async def test_every_scenario_can_achieve_its_rate_whatever_the_seed(path, seed, monkeypatch):
    VirtualTime(monkeypatch)
    scenario = load_scenario(path.stem, path.parent)
    names = ("rate_hz", "schedule", "burst_events", "warmup_s", "payload_bytes")
    fields = {name: getattr(scenario, name) for name in names} | {
        "duration_s": min(scenario.duration_s, 20, 10_000 / scenario.rate_hz)
    }
    assert await achieved_share(**fields, seed=seed) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("rate_hz", "warmup_s", "duration_s"), [(3.3, 1, 4), (0.5, 0, 5), (7, 0.3, 1.9), (1, 2, 8)])
async def test_a_rate_that_does_not_divide_the_phase_can_be_achieved(rate_hz, warmup_s, duration_s, monkeypatch):
    VirtualTime(monkeypatch)
    share = await achieved_share(rate_hz=rate_hz, warmup_s=warmup_s, duration_s=duration_s)
    assert share == pytest.approx(1, abs=1e-6)


async def test_a_phase_that_ends_late_achieves_less(monkeypatch):
    clock = VirtualTime(monkeypatch)

    class Slow(Recorder):
        async def publish(self, topic, payload):
            clock.now_ns += 6_000_000  # 1.2 intervals: it blocks the event loop, as a slow client library does

    publisher = EventPublisher(Slow(), settings(warmup_s=0, duration_s=1))
    await publisher.run()
    report = publisher.report()
    assert report.offered_hz == 200
    assert report.achieved_hz == pytest.approx(200 / 1.2, rel=0.01)


def test_too_small_a_payload_is_refused():
    with pytest.raises(UsageError, match="payload_bytes = 20"):
        EventPublisher(Recorder(), settings(payload_bytes=20))


class Flaky(Recorder):
    """Refuses everything until it is repaired."""

    def __init__(self):
        super().__init__()
        self.broken = True

    async def publish(self, topic, payload):
        if self.broken:
            raise BrokerError(parse_url("redis://x", "at-least-once"), "publish", "gone")
        self.stamps.append(decode(payload))


class FlakyBeginner(Flaky):
    """A Flaky producer that begins publishes without a task for each."""

    def begin(self, topic, payload, done):
        if self.broken:
            done(BrokerError(parse_url("redis://x", "at-least-once"), "publish", "gone"))
        else:
            self.stamps.append(decode(payload))
            done(None)

    def flush(self):
        """Everything has been sent."""


@pytest.mark.parametrize("flaky", [Flaky, FlakyBeginner])
async def test_at_least_once_keeps_what_failed_and_publishes_it_in_order(flaky):
    broker = flaky()
    publisher = EventPublisher(broker, settings(topics="a,b"), "at-least-once")
    run = asyncio.create_task(publisher.run())
    while publisher.report().measured().get("b", 0) < 5:
        await asyncio.sleep(0)
    assert broker.stamps == []
    broker.broken = False
    await run
    await publisher.flush()
    report = publisher.report()
    assert report.failed == 0
    assert report.retried > 0
    for topic in "ab":
        assert [stamp.seq for stamp in broker.stamps if stamp.topic == topic] == list(range(40))


async def test_at_least_once_gives_up_at_the_end_and_says_how_many():
    publisher = EventPublisher(Flaky(), settings(), "at-least-once")
    await publisher.run()
    await publisher.flush(timeout_s=0.05)
    assert publisher.report().failed == 80


async def test_a_given_up_publish_is_not_counted_again_when_its_link_is_lost():
    broker = Beginner(stalled=True)
    publisher = EventPublisher(broker, settings(), "at-least-once")
    await publisher.run()
    await publisher.flush(timeout_s=0.05)
    for done in broker.open:
        done(BrokerError(parse_url("redis://x", "at-least-once"), "publish", "gone"))
    await publisher.flush(timeout_s=0.05)
    assert publisher.report().failures == {"not done 0.05 s after the end": 80}
    assert publisher.in_flight == 0


@pytest.mark.parametrize("step_ns", [10_000_000, -10_000_000])
async def test_a_wall_clock_that_is_set_is_reported(step_ns, monkeypatch):
    real_ns, recorder = time.time_ns, Recorder()
    publisher = EventPublisher(recorder, settings(warmup_s=0))
    run = asyncio.create_task(publisher.run())
    while len(recorder.stamps) < 5:
        await asyncio.sleep(0)
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + step_ns)
    await run
    await publisher.flush()
    assert publisher.report().clock_step_ns == pytest.approx(step_ns, abs=4_000_000)


async def test_publishes_under_way_are_bounded_and_the_generator_is_late_then(monkeypatch, recorder_of):
    monkeypatch.setattr("generator.in_flight.MAX_IN_FLIGHT", 10)
    recorder = recorder_of(stalled=True)
    publisher = EventPublisher(recorder, settings(warmup_s=0))
    run = asyncio.create_task(publisher.run())
    async with asyncio.timeout(20):
        while len(recorder.stamps) < 10:
            await asyncio.sleep(0)
    assert publisher.in_flight == 10
    recorder.release.set()
    if isinstance(recorder, Beginner):
        recorder.flush()
    async with asyncio.timeout(20):
        await run
        await publisher.flush()
    assert len(recorder.stamps) == 60
    assert publisher.report().failed == 0
