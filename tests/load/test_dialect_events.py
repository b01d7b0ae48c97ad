"""A foreign service's events: how the ledger treats them, and what the result contains and leaves out."""

import json
from collections import Counter

import pytest

from core.contracts.codec import decode, encode
from core.contracts.load_result import LoadResult
from core.endpoint.dialect import Dialect
from core.sse import encode_event
from core.stamp import Stamp
from core.stamp import encode as encode_stamp
from load.client_state import DISARMED, ClientState, Counters
from load.dialect_events import DialectEvents
from load.feed import Feed
from load.frames import Foreign, SeriesRegistry, Source, StreamEnd, Times
from load.id_numbers import IdNumbers
from load.latency_recorder import LatencyRecorder
from load.result import build_result
from load.stream_times import StreamNotes, StreamTimes
from load.summary import summary_text
from load.thresholds import parse_thresholds
from load.transport import PLAIN
from load.worker_result import Seen, SeriesKey, WorkerResult

PLACE = Source("", "events")
LEDGER = {"received", "events", "lost", "causes", "duplicated", "reordered"}
TIMES = {"latency_ms", "negative", "negatives", "histograms"}


def event(number, **more):
    return encode_event(json.dumps({"n": number, "ts": 1_000 + number} | more), id=f"urn:{number}")


class Clients:
    """Clients of one topic, which the test feeds as the reader would."""

    def __init__(self, **dialect):
        self.registry = SeriesRegistry()
        self.events = DialectEvents(self.registry, Dialect(**dialect))
        self.feed = Feed(self.events, PLAIN, PLACE)
        self.counters = Counters()
        self.states = {}
        self.recorder = LatencyRecorder()

    def get(self, name, *events, at_ns=2_000 * 10**6):
        state, track = self.states.setdefault(name, (ClientState("events", self.counters), DISARMED))
        for data in events:
            track = state.take(self.feed.parse(data).items, at_ns, track)
        self.states[name] = (state, track)

    def result(self):
        """The content of the result."""
        self.feed.forget()
        self.recorder.fold(self.registry.harvest())
        self.recorder.close()
        totals = WorkerResult(endpoint=True, told=self.recorder.told, foreign=self.counters.foreign.copy())
        totals.servers, totals.spans, totals.seconds = self.recorder.servers, self.recorder.spans, self.recorder.seconds
        tally = totals.tally
        tally.users = tally.clients = tally.connected = len(self.states)
        tally.deliveries, tally.unidentified = self.recorder.deliveries, self.recorder.unidentified
        tally.forgotten_ids, totals.set_aside = self.events.forgotten_ids, self.events.set_aside
        tally.duplicated, tally.reordered = self.counters.duplicated, self.counters.reordered
        totals.seen = {SeriesKey(one.stream, one.topic): [Seen.of(one.seen)] for one in self.registry.series.values()}
        for state, _ in self.states.values():
            for track in state.tracks.values():
                series = track.series
                totals.causes.update(track.lost(series.low_seq, series.high_seq, None))
                tally.received += track.measured()
        return build_result(totals, len(self.states), [])


@pytest.mark.parametrize("dialect", [{"seq": "data.n"}, {"id": "id"}, {"id": "urn:{seq}"}, {"id": "data.n"}], ids=str)
def test_missing_duplicate_and_reordered_events_are_found(dialect):
    clients = Clients(**dialect)
    whole = [event(number) for number in range(10)]
    clients.get("whole", *whole)
    clients.get("lacks two", *whole[:4], *whole[6:])
    clients.get("has one twice", *whole[:5], whole[4], *whole[5:])
    clients.get("swapped", *whole[:7], whole[8], whole[7], whole[9])
    result = clients.result()
    assert (result.deliveries, result.received, result.lost) == (38, 38, 2)
    assert (result.duplicated, result.reordered, result.problems) == (1, 1, ())
    assert result.streams.knows == ("identity",)


KNOWN = [
    ({}, set(), ()),
    ({"seq": "data.n"}, LEDGER, ("identity",)),
    ({"sent": "data.ts", "unit": "ms"}, TIMES, ("time",)),
    ({"id": "id", "sent": "data.ts", "unit": "ms"}, LEDGER | TIMES, ("identity", "time")),
]


@pytest.mark.parametrize(("dialect", "fields", "knows"), KNOWN, ids=["nothing", "identity", "time", "both"])
def test_a_figure_that_the_events_do_not_carry_is_absent(dialect, fields, knows):
    clients = Clients(**dialect)
    clients.get("a", *[event(number) for number in range(10)])
    result = clients.result()
    written = json.loads(encode(result))
    assert set(written) & (LEDGER | TIMES | {"hops_ms", "since_sent_ms", "replayed"}) == fields
    assert (result.deliveries, result.streams.knows, result.problems) == (10, knows, ())
    assert decode(LoadResult, encode(result), "here") == result
    text = summary_text(result)
    assert ("latency " in text.replace("latency (a", "")) == ("time" in knows)
    assert ("lost 0" in text) == ("identity" in knows)
    if "time" in knows:  # sent 1,000 to 1,009 ms, and arrived at 2,000
        assert result.latency_ms.max == pytest.approx(1_000, rel=0.001)


def test_a_stamp_of_ours_gives_everything_but_the_hops_of_a_replica():
    clients = Clients()
    frames = [
        encode_event(encode_stamp(Stamp("k3f9", number, "events", "measure", 10**9, 10**9 + 5_000_000)).decode())
        for number in range(5)
    ]
    clients.get("a", *frames)
    clients.get("b", *frames)
    result = clients.result()
    assert result.streams.knows == ("stamp", "identity", "time")
    assert (result.events, result.lost, result.latency_ms.p50) == (5, 0, pytest.approx(1_000, rel=0.001))
    assert result.hops_ms.schedule.p50 == pytest.approx(5, rel=0.001)
    assert result.hops_ms.broker is None
    assert set(json.loads(encode(result))["hops_ms"]) == {"schedule"}
    assert set(result.histograms.by_span()) == {"latency", "schedule"}


def test_if_only_some_events_have_a_stamp_no_latency_is_shown():
    clients = Clients()
    clients.get("a", encode_event(encode_stamp(Stamp("k3f9", 1, "events", "measure", 10**9, 10**9)).decode()), event(1))
    result = clients.result()
    assert (result.deliveries, result.streams.stamped, result.streams.unidentified) == (2, 1, 1)
    assert (result.latency_ms, result.lost, result.streams.knows) == (None, None, ())
    assert "of all deliveries 1 fanbench's stamp" in summary_text(result)


def test_a_threshold_on_an_unknown_figure_is_a_breach():
    clients = Clients(seq="data.n")
    clients.get("a", event(0), event(1))
    result = clients.result()
    (latency,) = parse_thresholds(["p99_ms>100"])
    assert "p99_ms is unknown for these events" in latency.breach(result)
    assert parse_thresholds(["lost>0"])[0].breach(result) == ""


def test_mismatched_events_are_counted_separately_and_named():
    clients = Clients(seq="data.m", ignore=("ping",), end="[DONE]")
    assert clients.feed.parse(encode_event("x", event="ping")).items == ()
    assert clients.feed.parse(encode_event("[DONE]")).items == (StreamEnd(),)
    assert clients.feed.parse(encode_event("[DONE]")).ends
    clients.get("a", event(1), encode_event("x"))
    assert clients.feed.parse(event(2)).items == (Foreign("data.m is missing"),)
    (problem,) = clients.result().problems
    assert (
        problem
        == "no event matches the dialect: 1 x data.m is missing, 1 x the data is not JSON; give another --dialect, or correct its file"
    )


@pytest.mark.parametrize(
    ("dialect", "says"),
    [
        ({"only": "data.pub", "seq": "data.n"}, "no data.pub, which `only` asks for"),
        ({"ignore": ("message",)}, "type message, which `ignore` names"),
        ({"items": "data.all"}, "an empty list at `items`"),
    ],
)
def test_a_dialect_without_deliveries_is_reported(dialect, says):
    clients = Clients(**dialect)
    clients.get("a", event(1, all=[]), event(2, all=[]))
    result = clients.result()
    assert result.deliveries == 0
    assert result.problems == (
        f"events came, but the dialect counts none of them as a delivery: {says}; give another --dialect, or correct its file",
    )


def test_ids_that_were_too_many_are_a_problem_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr("load.dialect_events.IdNumbers", lambda: IdNumbers(remembered=5))
    clients = Clients(id="id")
    few = [event(number) for number in range(10)]
    clients.get("a", *few)
    assert clients.result().problems == ()
    clients = Clients(id="id")
    clients.get("a", *few, *[event(number) for number in range(10, 15)])
    (problem,) = clients.result().problems
    assert "ids without numbers, and 5 of them were forgotten" in problem
    assert "give the dialect a seq, or end the test earlier (-t)" in problem


@pytest.mark.parametrize(
    ("unit", "times", "says"),
    [
        ("ms", (1.7e9, 1.7e9 + 1), "2 events seem to have been sent more than an hour before they came"),
        ("s", (4e9, 4e9 + 1), "all 2 events seem to have been sent after they came"),
    ],
)
def test_times_that_cannot_be_right_are_a_problem_and_no_latency(unit, times, says):
    clients = Clients(sent="data.ts", unit=unit)
    clients.get("a", *[event(number, ts=ts) for number, ts in enumerate(times)], at_ns=int(1.7e18))
    result = clients.result()
    (problem,) = result.problems
    assert problem.startswith(says)
    assert "are sent, unit and time zone right in the dialect" in problem
    written = json.loads(encode(result))
    assert not set(written) & {"latency_ms", "histograms", "negative", "negatives"}
    assert "latency " not in summary_text(result)


def test_equal_events_without_identity_are_each_counted():
    clients = Clients()
    same = encode_event("tick")
    clients.get("a", same, same, same)
    clients.get("b", same)
    assert (clients.result().deliveries, clients.recorder.told) == (4, {Times.NONE: 4})


def test_connections_with_separate_numbers_are_separate_series():
    registry = SeriesRegistry()
    events = DialectEvents(registry, Dialect(seq="data.n", shared=False))
    one, other = (Feed(events, PLAIN, Source("", "events", name), remember=False) for name in ("1.1", "1.2"))
    assert one.parse(event(0)).series is one.parse(event(1)).series
    assert one.parse(event(0)).series is not other.parse(event(0)).series


def test_gaps_silences_and_answers():
    times = StreamTimes(0)
    notes = StreamNotes(times)
    notes.opened(10, 20)
    notes.heard(1, 50)
    notes.heard(3, 60)
    notes.completed(90)
    notes.closed(90)
    notes.quiet_until(500)  # without a connection there is no silence
    assert (list(times.first_ns), list(times.gap_ns), list(times.answer_ns)) == ([40], [10, 0, 0], [80])
    assert (notes.longest_ns, times.opened, times.whole) == (30, 1, 1)
    notes.opened(1_000, 1_000)
    times.restart(1_500)
    notes.restart(1_500)
    notes.heard(1, 1_600)  # silent since before the measurement, which counts only from its start
    assert (notes.longest_ns, times.opened) == (100, 0)
    times.fold(1_499)
    assert len(times.gap_ns) == 0


def test_a_service_that_refuses_every_client_gives_one_reason_and_no_figures():
    refused = Counter({"status 401 Unauthorized: give credentials: --token": 4})
    totals = WorkerResult(endpoint=True, refused=refused)
    totals.tally.users = 2
    result = build_result(totals, 2, [])
    assert result.connect_ms is None
    (problem,) = result.problems
    assert problem == "none of 2 clients ever connected: 4 x status 401 Unauthorized: give credentials: --token"
    text = summary_text(result)
    assert text.count("401") == 1
    assert not {"milliseconds", "p50", "known:"} & set(text.split())
    totals.refused = Counter({"Connection refused": 4})
    assert build_result(totals, 2, []).problems[0].endswith("4 x Connection refused; is a service running there?")


def test_only_the_reason_is_shown_for_a_test_that_did_not_begin():
    result = build_result(WorkerResult(), 2, ["--tokens '/none': No such file"])
    assert result.problems == ("--tokens '/none': No such file",)
    assert summary_text(result).split("\n") == ["", "! --tokens '/none': No such file", ""]
