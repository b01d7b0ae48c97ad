"""Every document is read back as written and keeps its keys; an invalid one gets one line with file and field."""

import json
from pathlib import Path

import pytest

from core.contracts.bundle import BundleIndex
from core.contracts.capacity import Capacity, CapacityPoint
from core.contracts.codec import Document, DocumentError, decode, encode, read, write
from core.contracts.generator_status import GeneratorStatus
from core.contracts.load_orders import LoadOrder
from core.contracts.load_result import Bystanders, Cause, LoadResult, RecoveryTimes
from core.contracts.load_status import LoadStatus
from core.contracts.manifest import Manifest, ManifestRun
from core.contracts.report_figures import HistogramTotal, ReportCell, ReportFigures, ReportTable, ReportTotals
from core.contracts.run_record import HistogramsFile, RunHistograms
from core.scenario import Scenario
from tests.core.contracts.made_up import PERCENTILES, generator_report, load_result, replica_stats

RECOVERY = RecoveryTimes(clients=10, never=1, first_event_ms=PERCENTILES, longest_silence_ms=PERCENTILES)
BYSTANDERS = Bystanders(clients=9, deliveries=180, latency_ms=PERCENTILES, before_ms=PERCENTILES)
MANIFEST = Manifest(
    schema_version=1,
    name="broadcast",
    started_utc="2025-11-24T01:36:00Z",
    complete=True,
    verdict=("valkey leads.",),
    command="fanbench compare",
    scenario=Scenario(),
    host={"cores": "2"},
    versions={"valkey": "9.1"},
    order=(
        ManifestRun(
            run=1, contender="valkey", round=1, scenario={"clients": 7}, problems=("late",), notes=(), negative={"broker": 2}
        ),
    ),
)  # fmt: skip
CAPACITY = Capacity(
    contender="valkey",
    vary="clients",
    slo="p99<150ms",
    held=400,
    broke=425,
    confirmed=True,
    p99_ms=(1.0, 0.5, 1.5),
    points=(CapacityPoint(load=400, held=True, p99_ms=1.0, lost=0, why=""),),
)
HISTOGRAMS = HistogramsFile(runs=(RunHistograms(run=1, contender="valkey", round=1, histograms={"latency": "HIST"}),))
REPORT = ReportFigures(
    derived_by={"version": "0.2.0", "commit": "c0ffee"},
    name="broadcast",
    started_utc="2025-11-24T01:36:00Z",
    complete=True,
    command="fanbench compare",
    host={"cores": "2"},
    versions={"valkey": "9.1"},
    libraries={},
    fanbench={},
    verdict=("valkey leads.",),
    tables=(ReportTable(title="In figures", headings=("contender",), rows=((ReportCell(text="valkey"),),), note=""),),
    method=("Open loop.",),
    totals=ReportTotals(
        runs=1, columns={"lost": 0}, seconds={}, histograms={"latency": HistogramTotal(count=1, mean_ms=1.5)}
    ),
    logs={"broker.log": "0" * 64},
)
KEYS = {
    "generator report": (
        generator_report(),
        "version stream published failed failures retried longest_outage_ms scheduled offered_hz achieved_hz measure_started_ns measure_ended_ns "
        "lateness_ms lateness_histogram lateness_negative clock_step_ns clocks cpu_s",
    ),
    "replica stats": (
        replica_stats(gap_lost={"*": 3}),
        "version server pid ready broker delivery broker_connected broker_notice clients topics received delivered gaps gap_lost holes foreign disconnects refused "
        "dropped replayed connects opened_topics closed_topics turned_away batch_sends buffered_bytes history_events history_bytes",
    ),
    "load result": (
        load_result(causes={Cause.GAP: 2}, negatives={"broker": 1}),
        "version asked clients left users connected unreached deliveries received events lost duplicated reordered replayed reconnects "
        "gaps negative negatives foreign duration_s latency_ms since_sent_ms hops_ms event_bytes connect_ms turn_ms downtime_ms servers topics "
        "causes foreign_kinds disconnects refused timeline histograms problems missing_clients breaches",
    ),
    "load status": (LoadStatus(clients=3, reached=2), "version clients connecting waiting reached deliveries reconnects visitors joined workers"),
    "generator status": (GeneratorStatus(joined=1), "version joined connected members"),
    "load order": (LoadOrder(do="stall", share=0.1, for_s=2), "version do share for_s at_ns"),
    "manifest": (
        MANIFEST,
        "schema_version name started_utc complete verdict command scenario host versions libraries fanbench settings stopping lanes "
        "order",
    ),
    "capacity": (CAPACITY, "version contender vary slo held broke confirmed note p99_ms points"),
    "histograms": (HISTOGRAMS, "version format runs"),
    "bundle": (BundleIndex(files={"broadcast/summary.csv": "0" * 64}), "version files"),
    "report figures": (
        REPORT,
        "version derived_by name started_utc complete command host versions libraries fanbench verdict next_steps tables "
        "method totals logs",
    ),
}  # fmt: skip
"""Each document with its keys: they are what users' own programs read, and change only with the version."""

documents = pytest.mark.parametrize("document", [document for document, _ in KEYS.values()], ids=KEYS)


@documents
def test_it_comes_back_as_it_was_written(document: Document, tmp_path: Path) -> None:
    assert decode(type(document), encode(document), "here") == document
    assert decode(type(document), encode(document, indent=1), "here") == document
    write(document, tmp_path / "file.json")
    assert read(type(document), tmp_path / "file.json") == document


@pytest.mark.parametrize(("document", "keys"), KEYS.values(), ids=KEYS)
def test_it_keeps_its_keys(document: Document, keys: str) -> None:
    assert list(json.loads(encode(document))) == keys.split()


@documents
def test_it_cannot_be_changed(document: Document) -> None:
    with pytest.raises(ValueError, match="frozen"):
        document.anything = 1  # type: ignore[attr-defined]


@documents
def test_another_version_is_refused(document: Document, tmp_path: Path) -> None:
    name = "schema_version" if isinstance(document, Manifest) else "version"
    told = refusal(document, {name: 99}, tmp_path)
    assert f"{name} 99 is not the one that this fanbench reads; use the fanbench that wrote it" in told


@documents
def test_each_missing_field_is_named(document: Document, tmp_path: Path) -> None:
    required = [name for name, field in type(document).model_fields.items() if field.is_required()]
    for name in required:
        assert f"field '{name}' is missing; {type(document).remedy}" in refusal(document, {name: None}, tmp_path)


@documents
def test_an_unknown_field_is_named(document: Document, tmp_path: Path) -> None:
    assert "field 'renamed' is unknown" in refusal(document, {"renamed": 1}, tmp_path)


def refusal(document: Document, changes: dict[str, object], folder: Path) -> str:
    """The error for the document in a file with these keys changed (None: removed): one line that names the file."""
    fields = {
        name: value
        for name, value in (json.loads(encode(document)) | changes).items()
        if changes.get(name, 1) is not None
    }
    path = folder / "file.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(DocumentError) as raised:
        read(type(document), path)
    said = str(raised.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (LoadResult, {"latency_ms": {"p50": 1, "p90": 1, "p999": 1, "max": 1}}, "field 'latency_ms.p99' is missing"),
        (LoadResult, {"causes": {"gap": 1}}, "field 'causes.gap.[key]' is wrong: 'gap': "),
        (LoadResult, {"negatives": {"brokers": 1}}, "field 'negatives.brokers.[key]' is wrong: 'brokers': "),
        (LoadResult, {"recovery": {"clients": 3}}, "field 'recovery.never' is missing"),
        (LoadOrder, {"do": "dance"}, "field 'do' is wrong: 'dance': "),
        (LoadOrder, {"share": 2}, "field 'share' is wrong: 2: "),
        (Capacity, {"vary": "colour"}, "field 'vary' is wrong: 'colour': "),
        (Manifest, {"scenario": {"clients": 0}}, "field 'scenario.clients' is wrong: 0: "),
    ],
)
def test_an_error_within_a_part_is_named(
    kind: type[Document], text: dict[str, object], said: str, tmp_path: Path
) -> None:
    document = next(document for document, _ in KEYS.values() if isinstance(document, kind))
    assert said in refusal(document, text, tmp_path)


def test_phases_are_reported_by_name(tmp_path: Path) -> None:
    assert json.loads(encode(generator_report()))["published"] == {"events": {"warmup": 3, "measure": 20}}
    for phases, said in (
        ({"warmup": 3}, "measure' is missing"),
        ({"warmup": 3, "measure": 2, "end": 1}, "end' is unknown"),
    ):
        told = refusal(generator_report(), {"published": {"events": phases}}, tmp_path)
        assert f"field 'published.events.{said}" in told


def test_only_a_fault_adds_its_observations() -> None:
    hurt = load_result(recovery=RECOVERY, bystanders=BYSTANDERS)
    assert decode(LoadResult, encode(hurt), "here") == hurt
    assert set(json.loads(encode(hurt))) - set(json.loads(encode(load_result()))) == {"recovery", "bystanders"}
    assert "event_bytes" in json.loads(encode(load_result(event_bytes=None)))


def test_an_order_by_hand_needs_only_its_action() -> None:
    assert decode(LoadOrder, '{"do":"mark"}', "here") == LoadOrder(do="mark")


def test_a_missing_file_has_no_document(tmp_path: Path) -> None:
    assert read(LoadStatus, tmp_path / "none") is None
