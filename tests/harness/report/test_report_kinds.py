"""The reports of capacity searches and of faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.contracts.capacity import Capacity
from core.contracts.manifest import Stopping
from harness.analysis.fault_outcomes import outcomes
from harness.analysis.standings import standings
from harness.analysis.statistics import mean_interval
from harness.report.bar_charts import capacities
from harness.report.capacity import together
from harness.report.comparison import table_rows
from harness.report.faults import faults_verdict, matrix
from harness.report.line_charts import fanout_by_clients, knee, load_curves
from harness.report.page import build_report, view_of
from harness.results.load import load_capacity, load_results
from harness.results.run_record import Run
from harness.results.store import open_results, store_capacity
from tests.harness import made_up
from tests.harness.report.test_report import Page, assert_no_overlap

PROMISED = "at-least-once"


def stored(parent: Path, runs: list[Run], search: Capacity | None = None) -> Path:
    folder = open_results(parent, "x", scenario=made_up.SCENARIO, command="fanbench", host={}, versions={})
    for run in runs:
        folder.add_run(run)
    path = folder.finish(complete=True, verdict=["valkey holds p99<115ms up to 4,000 clients"] if search else [])
    if search:
        store_capacity(path, search)
    return path


def search_runs() -> list[Run]:
    return [
        made_up.run("valkey", number, scenario=made_up.SCENARIO.with_fields(clients=clients))
        for number, clients in enumerate((20, 40, 80), 1)
    ]


@pytest.mark.slow
def test_a_capacity_search_keeps_its_verdict_and_shows_every_run(tmp_path: Path) -> None:
    folder = stored(tmp_path, search_runs(), made_up.search())
    page = Page(Path(build_report([folder], markdown=False)).read_text())
    assert load_results(folder).verdict == ("valkey holds p99<115ms up to 4,000 clients",)
    assert page.tags.count("tr") == 11  # a heading and the ten runs
    assert page.text.count("broke") >= 5
    assert [chart.name for chart in view_of(load_results(folder), load_capacity(folder)).charts] == ["knee", "fanout"]


@pytest.mark.slow
def test_several_searches_share_a_chart(tmp_path: Path) -> None:
    for name in ("valkey", "nats"):
        stored(tmp_path / "all", search_runs(), made_up.search(name))
    page = Page(Path(build_report([tmp_path / "all"], markdown=False)).read_text())
    assert page.text.count("How many clients it holds") >= 1
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.slow
@pytest.mark.parametrize(("held", "broke"), [(4000, 4400), (8000, None), (500, 1000)])
def test_charts_of_a_search_have_no_overlapping_labels(held: int, broke: int | None) -> None:
    search = made_up.search(held=held, broke=broke)
    assert_no_overlap(knee(search))
    assert_no_overlap(capacities([search, made_up.search("rabbitmq-confirms", held=90)]))


def test_fan_out_is_drawn_over_the_whole_range_of_clients() -> None:
    figure = fanout_by_clients(standings(made_up.comparison(search_runs())))
    assert_no_overlap(figure)
    assert figure is not None
    assert figure.axes[0].get_xlim() == (0, 40)  # 80 clients on 2 replicas
    assert list(figure.axes[0].lines[0].get_xdata()) == [10, 20, 40]


def test_a_search_without_an_answer_has_no_bar() -> None:
    assert capacities([made_up.search(held=None)]) is None


@pytest.mark.slow
def test_several_searches_have_one_curve_each_in_one_chart() -> None:
    points = made_up.search().points
    refused = points[-1].model_copy(update={"load": 9000, "held": False, "by_harness": True})
    searches = {name: made_up.search(name).model_copy(update={"points": (*points, refused)}) for name in ("a", "b")}
    figure = load_curves(searches)
    assert figure is not None
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    assert [list(line.get_xdata()) for line in lines] == [sorted({point.load for point in points})] * 2
    charts = together(list(searches.items()))
    assert [chart.title for chart in charts] == ["How many clients it holds", "Latency over clients"]
    assert len(together([("a", searches["a"])])) == 1
    assert load_curves({"a": made_up.search().model_copy(update={"points": points[:1]})}) is None


def test_the_harnesss_limit_is_not_the_contenders() -> None:
    search = made_up.search()
    points = [point.model_copy(update={"by_harness": point.load == 4400}) for point in search.points]
    ended = search.model_copy(update={"points": tuple(points)})
    for found, label, words in (
        (search, "4,000", "which did not."),
        (ended, "4,000 or more", "the harness reached its limit"),
    ):
        figure = capacities([found])
        assert figure is not None
        assert label in [text.get_text() for text in figure.axes[0].texts]
        assert together([("valkey", found)])[0].text.find(words) > 0


def fault_runs() -> list[Run]:
    return [
        made_up.fault_run("valkey", "broker-kill", lost={"broker": 40}),
        made_up.fault_run("valkey", "clients-cut"),
        made_up.fault_run("streams", "broker-kill", delivery=PROMISED, silence_ms=2400),
        made_up.fault_run("streams", "clients-cut", delivery=PROMISED, duplicated=3),
        made_up.fault_run(
            "qos1", "broker-kill", delivery=PROMISED, lost={"gap": 7}, notes=("qos1 keeps 1,000 messages",)
        ),
        made_up.fault_run("qos1", "clients-cut", delivery=PROMISED, figures={"recovered": 0.0}),
    ]


def test_the_verdict_on_faults_names_kept_and_broken_promises() -> None:
    assert faults_verdict(made_up.comparison(fault_runs())) == [
        "Through all 2 faults, streams lost nothing.",
        "qos1 promises at-least-once and lost 7 of 5,000 in broker-kill: qos1 keeps 1,000 messages.",
        "Lost as at-most-once allows: valkey 40 in broker-kill.",
        "The longest silence of a client was 2.4 s, in broker-kill; no contender is named, because that takes 5 valid runs of each (--rounds 5).",
        "Not every client came back without help: qos1 in clients-cut.",
    ]


def test_one_that_went_through_fewer_faults_did_not_come_through_all() -> None:
    runs = [
        *fault_runs(),
        made_up.fault_run("nats", "clients-cut"),
        made_up.fault_run("nats", "broker-kill", problems=("x",)),
    ]
    assert faults_verdict(made_up.comparison(runs))[:2] == [
        "Through all 2 faults, streams lost nothing.",
        "nats lost nothing in the one fault with a valid run of it.",
    ]
    without = [run for run in runs if run.contender != "streams"]
    assert faults_verdict(made_up.comparison(without))[0] == "No contender came through all 2 faults without loss."


def stalled(contender: str, during_ms: float, number: int = 1) -> Run:
    figures = {"before_p99_ms": 10.0, "bystanders_p99_ms": during_ms, "recovered": 1.0}
    return made_up.fault_run(contender, "clients-stall", figures=figures, round=number)


def blast_radius(runs: list[Run]) -> str:
    (line,) = [s for s in faults_verdict(made_up.comparison(runs)) if s.startswith("Blast radius")]
    return line


def test_one_run_of_each_names_nobody() -> None:
    line = blast_radius([stalled("valkey", 11.0), stalled("nats", 194.8)])
    assert line == (
        "Blast radius: clients-stall raised the others' p99 from 10.0 to 195 ms in the worst run (19.48x); no contender is named, because "
        "that takes 5 valid runs of each (--rounds 5)."
    )


def test_an_outlier_is_named_with_its_interval_unless_ranges_overlap() -> None:
    rounds = range(1, 6)
    apart = [stalled(n, ms + r / 10, r) for r in rounds for n, ms in (("valkey", 11.0), ("nats", 30.0))]
    mean = mean_interval([3.0 + r / 100 for r in rounds])
    assert blast_radius(apart) == (
        "Blast radius: clients-stall raised the others' p99 from 10.0 to 30.5 ms in the worst run (3.05x); nats is worst, "
        f"{mean.estimate:.2f}x [{mean.low:.2f}, {mean.high:.2f}] in the mean of 5 runs."
    )
    alike = [stalled(n, ms + 3 * r, r) for r in rounds for n, ms in (("valkey", 11.0), ("nats", 12.0))]
    assert blast_radius(alike).endswith("(2.70x); no contender is named, because the ranges overlap.")
    few = [run for run in apart if run.round < 5 or run.contender == "valkey"]
    assert "no contender is named, because that takes 5 valid runs of each" in blast_radius(few)
    assert blast_radius([stalled("nats", 30.0)]).endswith("(3.00x), with nats.")


def test_a_cell_of_several_rounds_has_their_mean_and_its_interval() -> None:
    silences = [900.0, 1000.0, 1100.0, 950.0, 1050.0]
    runs = [made_up.fault_run("valkey", "broker-kill", silence_ms=s, round=r) for r, s in enumerate(silences, 1)]
    mean = mean_interval([s / 1000 for s in silences])
    ((_, cell),) = matrix(outcomes(runs)).rows
    assert cell.small == f"silence {mean.estimate:.3g} s ({mean.low:.3g} to {mean.high:.3g}) · 5 runs"
    ((_, few),) = matrix(outcomes(runs[:2])).rows
    assert few.small == "silence 0.95 s (0.9 to 1) · 2 runs"


def test_the_matrix_says_in_words_what_its_colours_say() -> None:
    table = matrix(outcomes(fault_runs()))
    assert table.headings == ["contender", "broker-kill", "clients-cut"]
    cells = {row[0].text: [(cell.kind, cell.text, cell.small) for cell in row[1:]] for row in table.rows}
    assert cells == {
        "valkey": [("warn", "40 lost", "silence 0.9 s · one run"), ("good", "0 lost", "silence 0.9 s · one run")],
        "streams": [
            ("good", "0 lost", "silence 2.4 s · one run"),
            ("good", "0 lost", "silence 0.9 s · one run · 3 twice"),
        ],
        "qos1": [
            ("bad", "7 lost, promised not to", "silence 0.9 s · one run · qos1 keeps 1,000 messages"),
            ("bad", "0 lost", "one run · not all came back"),
        ],
    }


def test_a_fault_that_was_not_measured_or_refused_says_so() -> None:
    runs = [*fault_runs()[:3], made_up.fault_run("streams", "clients-cut", problems=("counts do not add up",))]
    rows = {row[0].text: row[1:] for row in matrix(outcomes([*runs, made_up.fault_run("nats", "clients-cut")])).rows}
    assert (rows["streams"][1].text, rows["streams"][1].small) == ("refused", "counts do not add up")
    assert rows["nats"][0].text == "not measured"


def test_a_directory_of_faults_gets_the_report_of_faults(tmp_path: Path) -> None:
    folder = stored(tmp_path, fault_runs())
    page = Page(Path(build_report([folder], markdown=False)).read_text())
    assert load_results(folder).verdict[0] == "Through all 2 faults, streams lost nothing."
    for words in (
        "What each fault did",
        "7 lost, promised not to",
        "the broker gets SIGKILL",
        "qos1 keeps 1,000 messages",
    ):
        assert words in page.text
    assert "is the fastest" not in page.text


def test_without_a_valid_fault_run_there_is_no_verdict() -> None:
    (sentence,) = faults_verdict(made_up.comparison([made_up.fault_run("valkey", "link-cut", problems=("x",))]))
    assert "there is no verdict" in sentence


@pytest.mark.slow
def test_the_method_says_when_it_could_end_and_whether_it_did() -> None:
    def told(**fields: object) -> str:
        runs = [made_up.run(name, r) for r in range(1, 9) for name in ("valkey", "nats")]
        return " ".join(view_of(made_up.comparison(runs, **fields), draw=False).method)

    looks = (8, 12, 16)
    assert "It could stop after 8 and 12 rounds, which the intervals account for; it did" in told(
        stopping=Stopping(looks=looks, settled=True)
    )
    assert "it ran until its time was up" in told(stopping=Stopping(looks=looks))
    assert "It could stop" not in told()


@pytest.mark.slow
def test_a_percentile_that_the_events_do_not_carry_is_not_shown() -> None:
    def row(rounds: int) -> tuple[str, str, str]:
        runs = [made_up.run(name, r) for r in range(1, rounds + 1) for name in ("valkey", "nats")]
        (first, _) = table_rows(made_up.comparison(runs))
        return first.p99, first.p99_range, first.p999

    assert row(1) == ("–", "–", "–")  # 100 events: one beyond p99
    few, many = row(5), row(20)
    assert "–" not in few[:2]
    assert (few[2], "–" in many) == ("–", False)


def test_a_fault_whose_runs_were_all_refused_is_named_with_its_contender() -> None:
    runs = [made_up.fault_run("valkey", kind) for kind in ("broker-kill", "link-cut")]
    runs += [made_up.fault_run("nats", kind, problems=("busy",)) for kind in ("broker-kill", "link-cut")]
    assert (
        "Without a valid run, so that nothing here is about it: nats in broker-kill and link-cut; the report gives the reasons."
        in (faults_verdict(made_up.comparison(runs)))
    )
