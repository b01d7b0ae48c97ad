"""Result directories survive any end, are read back unchanged, and never contain a password."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import pytest

from core.contracts.load_result import MeasuredSecond
from core.errors import UsageError
from harness.results.frames import summary_frame, timeline_frame
from harness.results.load import load_capacity, load_results, result_folders
from harness.results.run_record import Comparison, Run, Usage
from harness.results.store import ResultFolder, open_results, store_verdict
from tests.harness import made_up

PUBLISHED = (
    "contender,round,delivery,clients,replicas,rate_hz,published,expected,delivered,lost,duplicated,reordered,gaps,"
    "p50_ms,p90_ms,p99_ms,p999_ms,max_ms,schedule_p99_ms,broker_p50_ms,broker_p99_ms,fanout_p50_ms,fanout_p99_ms,"
    "broker_cpu_s,server_cpu_s,generator_cpu_s,load_cpu_s,broker_rss_mb,server_rss_mb,valid,problems"
)


def opened(parent: Path, name: str = "broadcast", command: str = "fanbench compare valkey memory") -> ResultFolder:
    return open_results(
        parent, name, scenario=made_up.SCENARIO, command=command, host={"cores": "2"}, versions={"python": "3.11.7"}
    )


def stored(parent: Path, *runs: Run) -> Path:
    folder = opened(parent)
    for run in runs:
        folder.add_run(run)
    return folder.finish(complete=True)


def counts(run: Run) -> dict[str, list[int]]:
    return {hop: histogram.counts().tolist() for hop, histogram in run.histograms.items()}


def without_histograms(run: Run) -> Run:
    return dataclasses.replace(run, histograms={})


def test_stored_runs_are_read_back(tmp_path: Path) -> None:
    other = made_up.SCENARIO.with_fields(clients=20, faults=[{"kind": "link-cut", "at_s": 1}])
    runs = [
        made_up.run("valkey", 1),
        made_up.run("memory", 1, lost={"broker": 3, "slow_client": 2}, scenario=other, transport="ws"),
        made_up.run(
            "valkey",
            2,
            problems=("the generator was late; lower the rate", "a; b"),
            notes=("x",),
            figures={"connect_p50_ms": 1.25},
        ),
        Run("nats", 2, "at-most-once", made_up.SCENARIO, problems=("no client connected",), disturbed=True),
        Run("redis", 2, "at-most-once", made_up.SCENARIO, problems=("redis is not installed",), permanent=True),
        made_up.run("nats", 3, duplicated=1, reordered=2, gaps=3),
        made_up.run("nats", 4, not_watched=("broker", "others")),
        made_up.run("nchan", 4, endpoint=True),
    ]
    plain = Run("", 0, "", made_up.SCENARIO)
    for field in dataclasses.fields(Run):
        values = [getattr(run, field.name) for run in runs]
        assert any(value != getattr(plain, field.name) for value in values), (
            f"nothing shows that {field.name} is stored"
        )
    runs[0].histograms["broker"].negative = 4
    folder = opened(tmp_path)
    for run in runs:
        folder.add_run(run)
    folder.add_versions({"valkey": "9.1.0"})
    path = folder.finish(complete=True)
    store_verdict(path, folder.comparison, ["valkey leads.", "It is the fastest."])

    back = load_results(path)

    assert back == Comparison(
        name="broadcast",
        scenario=made_up.SCENARIO,
        runs=back.runs,
        started_utc=folder.comparison.started_utc,
        command="fanbench compare valkey memory",
        host={"cores": "2"},
        versions={"python": "3.11.7", "valkey": "9.1.0"},
        complete=True,
        verdict=("valkey leads.", "It is the fastest."),
    )
    assert [without_histograms(run) for run in back.runs] == [without_histograms(run) for run in runs]
    assert [counts(run) for run in back.runs] == [counts(run) for run in runs]
    assert back.runs[0].histograms["broker"].negative == 4


def test_a_run_is_kept_in_memory_as_it_is_stored(tmp_path: Path) -> None:
    causes = {"gap": 2, "broker": 1, "under_way": 0, "unexplained": 0, "slow_client": 0, "connection_down": 0}
    run = made_up.run(
        "amqp://user:MARKED@host",
        lost=causes,
        usage={"load": Usage(1 / 3, 2 / 3, 1 / 7), "broker": Usage(0.1, 20.00049, 1e-4)},
        timeline=[MeasuredSecond(t_s=0, deliveries=7, p50_ms=1 / 3, p99_ms=2 / 3, max_ms=0.98765)],
        figures={"silence_ms": 1 / 3, "before_p99_ms": 7},
        achieved_hz=19.98765,
        problems=("amqp://user:MARKED@host did not answer",),
    )
    folder = opened(tmp_path)
    kept = folder.add_run(dataclasses.replace(run, lost_by_cause=causes))
    (back,) = load_results(folder.finish(complete=True)).runs
    assert without_histograms(back) == without_histograms(kept) == without_histograms(folder.comparison.runs[0])
    assert counts(back) == counts(kept)
    assert [list(back.lost_by_cause), list(back.usage), list(back.figures)] == [
        list(kept.lost_by_cause),
        list(kept.usage),
        list(kept.figures),
    ]


def test_summary_has_the_published_columns_first_and_one_row_per_run(tmp_path: Path) -> None:
    path = stored(tmp_path, made_up.run("valkey"), made_up.run("memory", lost={"gap": 1}, problems=("a, b", 'say "x"')))
    with (path / "summary.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert reader.fieldnames is not None
    assert ",".join(reader.fieldnames).startswith(PUBLISHED + ",")
    assert [row["contender"] for row in rows] == ["valkey", "memory"]
    assert [row["valid"] for row in rows] == ["true", "false"]
    assert rows[1]["problems"] == 'a, b; say "x"'
    assert (rows[1]["broker_cpu_s"], rows[1]["broker_rss_mb"]) == ("", "")
    assert rows[1]["lost_gap"] == "1"
    assert int(rows[1]["delivered"]) + int(rows[1]["lost"]) == int(rows[1]["expected"])


def test_percentiles_are_those_of_the_histograms(tmp_path: Path) -> None:
    one_to_thousand = made_up.histogram(list(range(1, 1001)))
    run = made_up.run(histograms={"latency": one_to_thousand, "broker": made_up.histogram([2.0] * 1000)})
    row = summary_frame(stored(tmp_path, run)).iloc[0]
    for column, exact in {"p50_ms": 500, "p90_ms": 900, "p99_ms": 990, "p999_ms": 999, "max_ms": 1000}.items():
        assert row[column] == pytest.approx(exact, rel=1e-3)
    assert row["broker_p99_ms"] == pytest.approx(2.0, rel=1e-3)
    assert row.isna()["fanout_p99_ms"]


def test_each_finished_run_is_on_disk_before_the_next(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    assert folder.path.name.endswith("-broadcast.partial")
    for number in (1, 2, 3):
        folder.add_run(made_up.run(round=number))
        back = load_results(folder.path)  # what a kill -9 at this moment would leave
        assert [run.round for run in back.runs] == list(range(1, number + 1))
        assert not back.complete


def test_a_kill_between_two_files_leaves_the_runs_of_the_manifest(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    folder.add_run(made_up.run(round=1))
    manifest = (folder.path / "manifest.json").read_text()
    folder.add_run(made_up.run(round=2))
    (folder.path / "manifest.json").write_text(manifest)
    assert [run.round for run in load_results(folder.path).runs] == [1]
    assert summary_frame(folder.path)["round"].tolist() == [1]
    assert set(timeline_frame(folder.path)["round"]) == {1}


def test_a_problem_names_a_log_by_its_place_in_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = opened(Path())
    log = folder.logs / "round-1-valkey" / "replica-2.log"
    ended = [f"replica-2 ended with exit code 1; its log ({path}) ends: no" for path in (log, log.resolve())]
    kept = folder.add_run(dataclasses.replace(made_up.run(), problems=tuple(ended), notes=(f"see {log.resolve()}",)))
    assert set(kept.problems) == {
        "replica-2 ended with exit code 1; its log (logs/round-1-valkey/replica-2.log) ends: no"
    }
    assert kept.notes == ("see logs/round-1-valkey/replica-2.log",)
    assert str(tmp_path) not in (folder.finish(complete=True) / "manifest.json").read_text()


@pytest.mark.parametrize(("complete", "end"), [(True, "-broadcast"), (False, "-broadcast-incomplete")])
def test_finish_renames(tmp_path: Path, complete: bool, end: str) -> None:
    folder = opened(tmp_path)
    folder.add_run(made_up.run())
    path = folder.finish(complete=complete)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.name.endswith(end)
    assert load_results(path).complete is complete
    assert json.loads((path / "manifest.json").read_text())["complete"] is complete


def test_directories_of_one_second_do_not_collide(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    third_name = second.finish(complete=False).name
    fourth = opened(tmp_path)
    assert len({first.path.name, third_name, fourth.path.name}) == 3


def test_a_hostile_name_stays_below_the_parent(tmp_path: Path) -> None:
    folder = opened(tmp_path / "results", name="../../etc/pass wd")
    assert folder.path.parent == tmp_path / "results"


def test_no_password_reaches_a_file(tmp_path: Path) -> None:
    url = "amqp://user:MARKED-s3cret@host:5672/vhost?heartbeat=5"
    folder = opened(tmp_path, command=f"fanbench compare valkey {url}")
    folder.add_versions({url: url})
    folder.add_run(made_up.run(contender=url, problems=(f"{url} did not answer", f"see {url}, {url}")))
    path = folder.finish(complete=True)
    store_verdict(path, folder.comparison, [f"{url} leads"])
    texts = [file.read_text() for file in path.rglob("*") if file.is_file()]
    assert len(texts) == 4
    assert not [text for text in texts if "MARKED" in text]
    assert load_results(path).runs[0].contender == "amqp://user:***@host:5672/vhost?heartbeat=5"


def test_frames_join_several_directories(tmp_path: Path) -> None:
    paths = [stored(tmp_path / name, made_up.run(), made_up.run(round=2)) for name in ("a", "b")]
    frame = summary_frame(*paths)
    assert len(frame) == 4
    assert timeline_frame(*paths).groupby("result").size().sum() == 20
    assert frame["valid"].dtype == bool


def damage_nothing_there(path: Path) -> None:
    for file in path.glob("*.*"):
        file.unlink()


def damage_manifest(path: Path) -> None:
    (path / "manifest.json").write_text('{"name": "x"}')


def damage_json(path: Path) -> None:
    (path / "manifest.json").write_text("not json")


def damage_version(path: Path) -> None:
    fields = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(fields | {"schema_version": 99}))


def damage_column(path: Path) -> None:
    text = (path / "summary.csv").read_text()
    (path / "summary.csv").write_text(text.replace("delivered", "arrived", 1))


def damage_cell(path: Path) -> None:
    text = (path / "summary.csv").read_text()
    (path / "summary.csv").write_text(
        text.replace("at-most-once,50", "at-most-once,fifty").replace(",100,5000", ",many,5000")
    )


def damage_histogram(path: Path) -> None:
    fields = json.loads((path / "histograms.json").read_text())
    fields["runs"][0]["histograms"]["latency"] = "HISTbroken"
    (path / "histograms.json").write_text(json.dumps(fields))


def damage_missing_file(path: Path) -> None:
    (path / "timeline.csv").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_nothing_there, "is not a result directory: manifest.json: No such file"),
        (damage_manifest, "manifest.json: field 'schema_version' is missing"),
        (damage_json, "manifest.json: not a document: Invalid JSON"),
        (damage_version, "manifest.json: schema_version 99 is not the one"),
        (damage_column, "summary.csv: row 1: field 'delivered' is missing"),
        (damage_cell, "summary.csv: row 1: field 'clients' is wrong: 'fifty'"),
        (damage_histogram, "not an HDR V2 histogram"),
        (damage_missing_file, "timeline.csv: No such file"),
    ],
)
def test_a_directory_without_a_result_gets_one_line(tmp_path: Path, damage: object, said: str) -> None:
    path = stored(tmp_path, made_up.run())
    damage(path)  # type: ignore[operator]
    with pytest.raises(UsageError) as caught:
        load_results(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_results_directory_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="--out"):
        opened(tmp_path / "file")


def test_a_directory_of_result_directories_means_all_of_them(tmp_path: Path) -> None:
    first, second = stored(tmp_path / "all", made_up.run()), stored(tmp_path / "all", made_up.run())
    (tmp_path / "all" / "report.html").write_text("")
    assert result_folders(tmp_path / "all") == sorted([first, second])
    assert result_folders(first) == [first]
    with pytest.raises(UsageError, match="is not a result directory"):
        result_folders(first, tmp_path / "none")


def test_a_damaged_capacity_search_is_reported(tmp_path: Path) -> None:
    path = stored(tmp_path, made_up.run())
    assert load_capacity(path) is None
    (path / "capacity.json").write_text('{"contender": "valkey"}')
    with pytest.raises(UsageError, match=r"capacity\.json: field 'vary' is missing"):
        load_capacity(path)


def test_no_file_shows_a_secret_option_or_controls_a_terminal(tmp_path: Path) -> None:
    odd = "lost redis://h:1/0?password=s3cret&db=1: its log ends: \x1b[31mred\x1b[0m\x07"
    folder = stored(tmp_path, made_up.run("valkey", 1, problems=(odd,), notes=(odd,)))
    text = "".join(file.read_text() for file in folder.iterdir() if file.is_file())
    assert "s3cret" not in text
    assert "\x1b" not in text
    (run,) = load_results(folder).runs
    assert run.problems == ("lost redis://h:1/0?password=***&db=1: its log ends: \\x1b[31mred\\x1b[0m\\x07",)


def test_a_frame_marks_the_runs_that_are_compared(tmp_path: Path) -> None:
    """Not refused ones, and not those in which something breaks beside a comparison: their latency is the fault's."""
    broken = made_up.fault_run("valkey", "replica-kill", round=2)
    path = stored(tmp_path, made_up.run(), made_up.run(round=2, problems=("late",)), broken)
    frame = summary_frame(path)
    assert frame["ranked"].tolist() == [True, False, False]
    assert set(timeline_frame(path).query("ranked")["run"]) == {1}
