"""Each forged value in a bundle is found, even with a new hash list, unless it is one of the values taken on trust."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest

from core.contracts.codec import DocumentError
from core.errors import FanbenchError, UsageError
from core.histogram import Histogram
from harness.publish.archive import INDEX
from harness.publish.trust import ON_TRUST
from harness.publish.verify import verify, verify_members
from harness.publish.write_bundle import write_bundle
from harness.results.load import load_manifest
from tests.harness import made_up
from tests.harness.publish import made_bundle
from tests.harness.publish.made_bundle import Place, forged, packed, places, sealed

FORGED = 200


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_bundle.results(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def bundles(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The members of a bundle of each kind of result, by its name."""
    out = tmp_path_factory.mktemp("bundles")
    return {name: made_bundle.bundle(stored / name, out / f"{name}.zip") for name in made_bundle.RESULTS}


def test_a_disk_that_is_full_leaves_the_old_bundle(stored: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    size = write_bundle([stored], path).stat().st_size
    old = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, limits[1]))
    try:
        with pytest.raises(FanbenchError, match=r"File too large; give another file with --out"):
            write_bundle([stored], path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == old
    assert [*tmp_path.iterdir()] == [path]


def test_a_device_and_a_fifo_are_not_replaced_by_a_bundle(stored: Path, tmp_path: Path) -> None:
    os.mkfifo(fifo := tmp_path / "fifo")
    for path in (Path("/dev/full"), fifo):
        with pytest.raises(UsageError, match="not a regular file"):
            write_bundle([stored / "search"], path)
    link, target = tmp_path / "link.zip", tmp_path / "target.zip"
    link.symlink_to(target)
    write_bundle([stored / "search"], link)
    assert link.is_symlink()
    assert verify(target).differences == ()


def test_a_log_without_end_is_not_read(stored: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(stored / "search", tmp_path / "search"))
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs" / "broker.log").touch()
    os.truncate(folder / "logs" / "broker.log", 100 * 1024**3)
    with pytest.raises(UsageError, match=r"broker\.log: it has over 256 MiB"):
        write_bundle([folder], tmp_path / "x.zip")


def told(members: dict[str, bytes], folder: Path) -> str:
    """The objections to a bundle; empty if it is verified."""
    folder.mkdir()
    try:
        _, differences = verify_members(members, folder)
    except (UsageError, DocumentError) as error:
        return str(error)
    return "\n".join(map(str, differences))


@pytest.mark.slow
def test_a_bundle_verifies(stored: Path, tmp_path: Path) -> None:
    path = write_bundle([stored], tmp_path / "all.zip")
    found = verify(path)
    assert found.differences == ()
    assert {one.name: len(one.stored.comparison.runs) for one in found.results} == {
        "compared": 16,
        "faults": 2,
        "search": 4,
    }
    figures = {one.name: one.figures for one in found.results}
    assert list(figures["compared"].logs) == ["broker.log"]
    assert (
        figures["search"].verdict[0].startswith("valkey holds p99<30ms, lost=0 up to 20 clients (held in 2 of 2 runs")
    )
    assert write_bundle([stored], tmp_path / "again.zip").read_bytes() == path.read_bytes()


def test_the_faults_behind_a_verdict_are_included(bundles: dict[str, dict[str, bytes]]) -> None:
    assert {name.partition("/")[0] for name in bundles["compared"]} == {"bundle.json", "compared", "faults"}
    assert b"replica killed" in bundles["compared"]["compared/report.json"]


@pytest.mark.slow
def test_each_of_200_forged_values_is_found(bundles: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    """Forge one value of each field, and more until there are 200. The forger makes a new hash list.

    Only fields that are listed as taken on trust stay undetected, and with the published hash list they are found too.
    """
    every = [
        (name, place)
        for name in made_bundle.RESULTS
        for place in places(bundles[name])
        if place.member.startswith(f"{name}/")
    ]
    random.Random(23).shuffle(every)
    every.sort(key=lambda one: one[0] != "compared")  # the verdict takes ten times as long, so prefer the others
    chosen = list({(place.member.partition("/")[2], place.field): (name, place) for name, place in every}.values())
    chosen += [one for one in reversed(every) if one not in chosen][: max(0, FORGED - len(chosen))]
    assert len(chosen) >= FORGED
    missed, trusted = [], []
    for number, (name, place) in enumerate(chosen):
        members = forged(bundles[name], place)
        if told(sealed(members), tmp_path / f"{number}"):
            continue
        assert place.member in told(members, tmp_path / f"{number}-as-published"), place
        (trusted if on_trust(place) else missed).append(place)
    assert missed == []
    assert len(trusted) < FORGED / 4, "most values follow from others"


def on_trust(place: Place) -> bool:
    """Whether the list of values taken on trust has the field."""
    file = place.member.partition("/")[2]
    known = [pattern for one in ON_TRUST if one.file == file for pattern in one.fields]
    return any(fnmatch(name, pattern) for name in place.field.split(".") for pattern in known)


@pytest.mark.parametrize("file", ["bundle.json", "compared/manifest.json", "compared/report.json"])
def test_a_hash_list_that_leaves_a_file_out_or_names_another_is_found(
    file: str, bundles: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    members = bundles["compared"]
    index = json.loads(members[INDEX])
    index["files"]["compared/other.json"] = index["files"].pop(file, "0" * 64)
    said = told(members | {INDEX: json.dumps(index).encode()}, tmp_path / "x")
    assert "compared/other.json" in said
    assert file == INDEX or f"sha256 of {file} is missing" in said


def test_a_histogram_with_one_delivery_moved_is_found(bundles: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    """Repacked, so that it can be read: only its derived figures show the forgery."""
    members = bundles["compared"]
    file = json.loads(members["compared/histograms.json"])
    histogram = Histogram.decode(file["runs"][0]["histograms"]["broker"])
    indexes, counts = histogram.filled()
    counts[0] -= 1
    counts[-1] += 1
    file["runs"][0]["histograms"]["broker"] = Histogram.of_counts(indexes, counts).encode()
    said = told(sealed(members | {"compared/histograms.json": json.dumps(file).encode()}), tmp_path / "x")
    assert "compared/summary.csv: run 1 of valkey: broker_mean_ms is" in said
    assert "compared/report.json: totals.histograms.broker.mean_ms is" in said


def test_a_verdict_forged_in_both_files_is_found(bundles: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    members = dict(bundles["compared"])
    for name in ("compared/manifest.json", "compared/report.json"):
        assert b"nats" in members[name]
        document = json.loads(members[name])
        document["verdict"] = [sentence.replace("slower", "faster") for sentence in document["verdict"]]
        members[name] = json.dumps(document).encode()
    said = told(sealed(members), tmp_path / "x")
    assert "compared/manifest.json: verdict[" in said
    assert "derived: " in said


def test_a_refused_run_made_valid_is_found(bundles: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    """Forged both in the row and in the manifest; the limits of a valid run still apply."""
    members = dict(bundles["compared"])
    rows = members["compared/summary.csv"].decode().splitlines()
    columns = rows[0].split(",")
    cells = rows[1].split(",")
    cells[columns.index("server_core")] = "0.97"
    members["compared/summary.csv"] = ("\n".join([rows[0], ",".join(cells), *rows[2:]]) + "\n").encode()
    said = told(sealed(members), tmp_path / "x")
    assert "run 1 of valkey: valid is true; derived: false: server_core is above 0.9" in said


def test_a_directory_that_contradicts_itself_is_not_bundled(tmp_path: Path) -> None:
    folder = made_bundle.store(tmp_path / "compared", made_bundle.compared_runs())
    summary = folder / "summary.csv"
    p99 = summary.read_text().splitlines()[1].split(",")[14]
    summary.write_text(summary.read_text().replace(p99, f"{float(p99) + 1:.3f}", 1))
    with pytest.raises(
        FanbenchError, match=r"not bundled.*compared/summary.csv: run 1 of valkey: p\d+_ms is .*measure again"
    ):
        write_bundle([folder], tmp_path / "x.zip")


@pytest.mark.slow
def test_a_stale_verdict_is_derived_again(tmp_path: Path) -> None:
    folder = made_bundle.store(tmp_path / "compared", made_bundle.compared_runs())
    assert load_manifest(folder).verdict == ()
    found = verify(write_bundle([folder], tmp_path / "x.zip"))
    assert found.differences == ()
    assert found.results[0].figures.verdict


def test_a_refused_run_that_got_more_than_was_expected_is_no_contradiction(tmp_path: Path) -> None:
    run = made_up.run("valkey", 6, scenario=made_bundle.SMALL, problems=("another generator publishes",))
    run = replace(run, expected=run.expected - 5, lost=-5, lost_by_cause=dict.fromkeys(run.lost_by_cause, 0))
    folder = made_bundle.store(tmp_path / "compared", [*made_bundle.compared_runs(), run])
    assert verify(write_bundle([folder], tmp_path / "x.zip")).differences == ()


def test_running_or_equally_named_results_are_refused(stored: Path, tmp_path: Path) -> None:
    running = tmp_path / "x.partial"
    (stored / "compared").rename(running)
    try:
        with pytest.raises(UsageError, match="still runs, or its fanbench was killed"):
            write_bundle([running])
    finally:
        running.rename(stored / "compared")
    with pytest.raises(UsageError, match="have the same name"):
        write_bundle([stored / "faults", stored / "faults"])


def test_another_version_is_refused_in_words(bundles: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    members = bundles["faults"]
    for name, key in (
        (INDEX, "version"),
        ("faults/report.json", "version"),
        ("faults/manifest.json", "schema_version"),
    ):
        document = json.loads(members[name]) | {key: 2}
        path = packed(members | {name: json.dumps(document).encode()}, tmp_path / "x.zip")
        with pytest.raises(UsageError) as raised:
            verify(path)
        assert (
            f"{path}: {name}: {key} 2 is not the one that this fanbench reads; use the fanbench that wrote it"
            in str(raised.value)
        )
