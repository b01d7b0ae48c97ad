"""A dialect: what a file may contain, which errors it gives, and what events then mean."""

import re

import pytest

from brokers.programs.catalogue import SERVICES
from core.endpoint.dialect import Dialect, load_dialect, parse_dialect
from core.endpoint.reading import DialectMismatchError, EventReader, Reading
from core.errors import UsageError
from core.resources import resource_folder
from core.sse import SSEEvent, SSEParser
from core.stamp import Stamp, encode, encode_compact

SHIPPED = resource_folder("dialects")
STAMP = Stamp("k3f9", 17, "events", "measure", 1_000_000, 2_000_000)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"seqq": "data.n"}, r"unknown field 'seqq' of a dialect; did you mean 'seq'\?"),
        ({"seq": "payload.n"}, "seq = 'payload.n': it begins with 'payload'; begin with id, event or data"),
        ({"seq": "data..n"}, "seq = 'data..n': '' is not a field's name"),
        ({"seq": "id.n"}, "seq = 'id.n': id is text and has no parts"),
        ({"seq": 3}, "seq = 3: "),
        ({"sent": "data.ts"}, "sent = 'data.ts': the unit is missing"),
        ({"sent": "data.ts", "unit": "min"}, "unit = 'min': "),
        ({"unit": "ms"}, "unit = 'ms': there is no time"),
        ({"id": "{sent}-{seq}"}, r"sent = '\{sent\}-\{seq\}': the unit is missing"),
        ({"id": "{sent}:{any}", "unit": "iso"}, "has a number; give its unit"),
        ({"id": "{stream}{seq}"}, "there is no text between two parts"),
        ({"id": "{stream}-{nr}"}, r"\{nr\} is not known; use \{stream\}"),
        ({"id": "{seq}-{seq}"}, r"\{seq\} occurs twice"),
        ({"id": "{seq"}, "a brace is unmatched"),
        ({"id": "{any}"}, "has only {any}"),
        ({"id": "{seq}", "seq": "data.n"}, "leave out one of them"),
        ({"stream": "data.epoch"}, "there is no seq"),
        ({"name": "a\x1b[31m"}, "control characters"),
    ],
)
def test_an_invalid_dialect_is_refused_with_the_reason(fields, says):
    with pytest.raises(UsageError, match=f"here: .*{says}" if "unknown" not in says else says):
        parse_dialect(fields, where="here")


def test_a_file_or_a_name_is_loaded(tmp_path):
    path = tmp_path / "ours.toml"
    path.write_text('about = "the shop"\nseq = "data.n"\n')
    assert (
        load_dialect("ours", tmp_path)
        == load_dialect(str(path), tmp_path)
        == Dialect(name="ours", about="the shop", seq="data.n")
    )
    with pytest.raises(UsageError, match=r"no dialect 'our'; did you mean 'ours'\? \(or give the path"):
        load_dialect("our", tmp_path)
    with pytest.raises(UsageError, match=rf"dialect {tmp_path}/ours: No such file"):
        load_dialect(f"{tmp_path}/ours", SHIPPED)  # a path, as it has a slash
    (tmp_path / "ours").write_text("seq = 'data.n'")
    assert load_dialect(f"{tmp_path}/ours", SHIPPED).seq == "data.n"
    with pytest.raises(UsageError, match=rf"dialect {tmp_path}: Is a directory"):
        load_dialect(str(tmp_path), SHIPPED)
    path.write_text("seq = data.n")
    with pytest.raises(UsageError, match="is not TOML"):
        load_dialect(str(path), tmp_path)


def test_what_is_known():
    assert (Dialect().identified, Dialect().timed, Dialect().stamp_place) == (False, False, "data")
    numbered = Dialect(id="{stream}-{seq}")
    assert (numbered.identified, numbered.numbered, numbered.timed, numbered.stamp_place) == (True, True, False, "")
    by_id = Dialect(id="data.uuid", sent="data.ts", unit="ms")
    assert (by_id.identified, by_id.numbered, by_id.timed) == (True, False, True)
    assert Dialect(stamp="data.pub.data").identified


def event(data, id="", kind="message"):
    return SSEEvent(kind, data, id)


@pytest.mark.parametrize(
    ("fields", "sse", "reading"),
    [
        ({}, event("anything"), Reading()),
        ({"seq": "data.n"}, event('{"n":17}'), Reading(seq=17)),
        ({"seq": "data.a.1.n"}, event('{"a":[0,{"n":"17"}]}'), Reading(seq=17)),
        ({"seq": "id"}, event("x", "17"), Reading(seq=17)),
        ({"seq": "data"}, event("17"), Reading(seq=17)),
        ({"id": "{stream}-{seq}"}, event("x", "k3-f9-17"), Reading(stream="k3-f9", seq=17)),
        ({"id": "{sent}:{any}", "unit": "s"}, event("x", "1638248608:0"), Reading(key="1638248608:0", sent_ns=1_638_248_608 * 10**9)),
        ({"id": "id"}, event("x", "urn:uuid:1"), Reading(key="urn:uuid:1")),
        ({"id": "data.uuid", "topic": "event"}, event('{"uuid":"a"}', kind="news"), Reading(topic="news", key="a")),
        ({"sent": "data.ts", "unit": "ms"}, event('{"ts":1638248608123}'), Reading(sent_ns=1_638_248_608_123 * 10**6)),
        ({"sent": "data.ts", "unit": "s"}, event('{"ts":1638248608.5}'), Reading(sent_ns=16_382_486_085 * 10**8)),
        ({"sent": "data.ts", "unit": "us"}, event('{"ts":"7"}'), Reading(sent_ns=7_000)),
        (
            {"sent": "data.ts", "unit": "iso"},
            event('{"ts":"1970-01-02T01:00:00.000007+01:00"}'),
            Reading(sent_ns=86_400 * 10**9 + 7_000),
        ),
        ({"sent": "data.ts", "unit": "iso"}, event('{"ts":"1970-01-01T00:00:01Z"}'), Reading(sent_ns=10**9)),
    ],
)  # fmt: skip
def test_the_values_of_each_event(fields, sse, reading):
    assert EventReader(Dialect(**fields)).read(sse, "events") == [reading]


@pytest.mark.parametrize(
    ("fields", "sse", "says"),
    [
        ({"seq": "data.n"}, event("17"), "data.n is missing"),
        ({"seq": "data.n"}, event("x"), "the data is not JSON"),
        ({"seq": "data.n"}, event('{"n":-1}'), "seq is -1, which is not a whole number of at least 0"),
        ({"seq": "data.n"}, event('{"n":true}'), "seq is True"),
        ({"seq": "data.n"}, event('{"n":1.5}'), "seq is 1.5"),
        ({"seq": "data.n"}, event('{"n":"²"}'), "seq is '²'"),
        ({"id": "{stream}-{seq}"}, event("x", "17"), r"the id does not match \{stream\}-\{seq\}"),
        ({"id": "id"}, event("x"), "id is empty"),
        ({"sent": "data.ts", "unit": "ms"}, event('{"ts":"soon"}'), "sent is 'soon', which is not a time"),
        ({"sent": "data.ts", "unit": "s"}, event('{"ts":1e300}'), "sent is 1e.300, which is not a time"),
        ({"sent": "data.ts", "unit": "s"}, event('{"ts":1638248608123}'), "not a time in that unit"),
        ({"items": "data"}, event("{}"), "data is not a list"),
        ({"stamp": "data"}, event("{}"), "not a fanbench stamp: stamp field 'stream' is missing"),
    ],
)
def test_a_mismatched_event_is_reported(fields, sse, says):
    with pytest.raises(DialectMismatchError, match=says):
        EventReader(Dialect(**fields)).read(sse, "events")


@pytest.mark.parametrize(
    ("fields", "data"),
    [
        ({}, encode(STAMP, "pad").decode()),
        ({}, encode_compact(STAMP, b"token").decode()),
        ({"stamp": "data"}, encode(STAMP).decode()),
        ({"stamp": "data.pub.data"}, f'{{"pub":{{"data":{encode(STAMP).decode()}}}}}'),
        ({"items": "data"}, f"[{encode(STAMP).decode()}]"),
        ({"stamp": "data", "items": "data"}, f"[{encode(STAMP).decode()}]"),
    ],
)
def test_a_stamp_of_ours_is_found_wherever_it_stands(fields, data):
    (reading,) = EventReader(Dialect(**fields)).read(event(data), "events")
    assert (reading.stamp, reading.seq, reading.stream, reading.topic) == (STAMP, 17, "k3f9", "events")
    assert reading.received_ns is None


def test_the_fields_that_a_replica_adds_are_read_too():
    text = '{"server":"replica-1","received_ns":3000000,' + encode(STAMP).decode()[1:]
    (reading,) = EventReader(Dialect()).read(event(text, STAMP.id), "events")
    assert (reading.stamp, reading.server, reading.received_ns) == (STAMP, "replica-1", 3_000_000)


def test_several_events_in_one_are_told_apart():
    read = EventReader(Dialect(items="data", seq="data.n")).read(event('[{"n":1},{"n":2}]'), "events")
    assert [one.seq for one in read] == [1, 2]


def test_events_that_are_not_deliveries_or_end_an_answer():
    reader = EventReader(Dialect(ignore=("ping",), end="[DONE]"))
    assert (reader.read(event("", kind="ping"), "events"), reader.read(event("ping"), "events")) == ([], [Reading()])
    assert (reader.ends(event("[DONE]")), reader.ends(event("[DONE"))) == (True, False)
    assert EventReader(Dialect(end="message_stop")).ends(event("{}", kind="message_stop"))
    assert not EventReader(Dialect()).ends(event(""))
    only = EventReader(Dialect(only="data.pub", seq="data.pub.offset"))
    assert only.read(event('{"connect":{}}'), "events") == []
    assert only.read(event('{"pub":{"offset":1}}'), "events") == [Reading(seq=1)]
    assert only.why_set_aside(event('{"connect":{}}')) == "no data.pub, which `only` asks for"
    assert reader.why_set_aside(event("", kind="ping")) == "type ping, which `ignore` names"
    listed = EventReader(Dialect(items="data"))
    assert (listed.read(event("[]"), "events"), listed.why_set_aside(event("[]"))) == ([], "an empty list at `items`")


def test_without_a_stamp_the_rest_of_the_dialect_applies():
    reader = EventReader(Dialect(stamp="data", id="id"))
    assert reader.read(event("news", "7"), "events") == [Reading(key="7")]
    (stamped,) = reader.read(event(encode(STAMP).decode(), "7"), "events")
    assert stamped.stamp == STAMP


@pytest.mark.parametrize("name", sorted(path.stem for path in resource_folder("dialects").glob("*.toml")))
def test_the_dialects_that_come_with_fanbench_read_what_their_servers_send(name):
    dialect = load_dialect(name, resource_folder("dialects"))
    assert dialect.about
    text = (resource_folder("dialects") / f"{name}.toml").read_text()
    (sample,) = re.findall(r"^# sends: (.*)$", text, re.M)
    (known,) = re.findall(r"^# known about it: (.*)$", text, re.M)
    (sse,) = SSEParser().feed(sample.replace("|", "\n").encode() + b"\n\n")
    (reading,) = EventReader(dialect).read(sse, "events")
    told = {"stamp": reading.stamp, "number": reading.seq, "id": reading.key, "time": reading.sent_ns}
    assert known == (", ".join(name for name, value in told.items() if value not in (None, "")) or "nothing")


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.toml")))
def test_each_dialect_says_whether_it_was_ever_run(name):
    (run,) = re.findall(r"^# (run: .*|never run: .*)$", (SHIPPED / f"{name}.toml").read_text(), re.M)
    started = "run: by the tests, as a program that fanbench starts"
    assert (run == started) == (name in SERVICES)
    assert run.startswith("never run: ") == (name not in SERVICES and name != "fanbench")
