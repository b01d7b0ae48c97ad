"""The report shows the measurements without a network, and no stored text acts as HTML."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text
from rich.console import Console

from core.errors import FanbenchError, UsageError
from harness.analysis.standings import standings
from harness.report import bar_charts as charts
from harness.report import line_charts as charts_lines
from harness.report.chart_style import THEMES, spread
from harness.report.comparison import comparison_view, table_rows
from harness.report.html import with_code
from harness.report.page import as_markdown, build_report, terminal_table, titles_of, view_of
from harness.report.view import View
from harness.results.load import load_results
from harness.results.run_record import Run
from harness.results.store import open_results
from tests.harness import made_up

pytestmark = pytest.mark.slow  # renders whole reports

FIVE = range(1, 6)
FEW = [("valkey", 0.4, 6.0), ("nats", 0.4, 6.0), ("rabbitmq", 3.0, 9.0), ("memory", 0.01, 6.0)]
MANY = [(f"contender-{number}-of-many", 0.3 + number / 5, 6.0 + number) for number in range(9)]
HOSTILE = '<img src=x onerror="alert(1)">&amp;$x_1^2$'
Contenders = Sequence[tuple[str, float, float]]


def runs(contenders: Contenders, rounds: Sequence[int] = FIVE) -> list[Run]:
    return [
        made_up.run(name, r, broker_ms=broker, fanout_ms=fanout) for r in rounds for name, broker, fanout in contenders
    ]


def stored(parent: Path, made: Sequence[Run], command: str = "fanbench compare") -> Path:
    folder = open_results(
        parent, "broadcast", scenario=made_up.SCENARIO, command=command, host={"cores": "2"}, versions={"valkey": "9.1"}
    )
    for run in made:
        folder.add_run(run)
    return folder.finish(complete=True)


class Page(HTMLParser):
    """The elements of a page, its text, and the addresses that it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                self.addresses.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(folder: Path) -> Page:
    return Page(Path(build_report([folder], markdown=False)).read_text())


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a comparison of `FEW` with a refused run; its report is written."""
    refused = made_up.run("nats", 6, problems=("generator late: p99 9 ms; lower --rate",))
    folder = stored(tmp_path_factory.mktemp("few"), [*runs(FEW), refused])
    build_report([folder], markdown=False)
    return folder


def written(folder: Path) -> str:
    """The text of its page."""
    return (folder / "report.html").read_text()


def test_the_answer_comes_first_and_every_part_is_there(few: Path) -> None:
    page = Page(written(few))
    comparison = load_results(few)
    order = [
        comparison.verdict[0],
        "Charts",
        "In figures",
        "Refused runs",
        "generator late: p99 9 ms; lower --rate",
        "How it was measured",
        "Machine and versions",
        "Repeat it",
        "fanbench compare",
    ]
    places = [page.text.index(part, page.text.index("fanbench ·")) for part in order]
    assert places == sorted(places)
    assert page.tags.count("figure") == 6
    assert page.tags.count("svg") == 9  # three of them are on both scales
    assert comparison.verdict[0].startswith("Take ")
    assert any(
        said.startswith("For 50 clients on 2 replicas at 20 events/s, valkey and nats are equivalent within 1.25x")
        for said in comparison.verdict
    )


def test_the_page_needs_no_network_and_runs_one_script_that_its_policy_names(few: Path) -> None:
    text = written(few)
    page = Page(text)
    assert {"link", "iframe", "img", "object"}.isdisjoint(page.tags)
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    assert page.tags.count("script") == 1
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}';" in policy
    assert not re.search(r"fetch|import|XMLHttp|innerHTML|eval", script)
    assert [address for address in page.addresses if not address.startswith("#")] == []
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_ids_are_unique_and_every_reference_has_its_target(few: Path) -> None:
    page_text = written(few)
    page = Page(page_text)
    assert len(page.ids) == len(set(page.ids)) > 0
    wanted = {address[1:] for address in page.addresses} | set(re.findall(r"url\(#([^)]+)\)", page_text))
    assert wanted <= set(page.ids)


def test_no_measured_text_acts_as_html(tmp_path: Path) -> None:
    made = [made_up.run(HOSTILE, r) for r in FIVE] + [made_up.run("nats", 1, problems=(HOSTILE,))]
    folder = stored(tmp_path, made, command=f"fanbench compare '{HOSTILE}'")
    page = page_of(folder)
    assert "img" not in page.tags
    assert page.handlers == []
    assert page.text.count(HOSTILE) >= 4  # verdict, table, refused run, command
    for chart in (folder / "charts").glob("*.svg"):
        assert "<img" not in chart.read_text()


@pytest.mark.parametrize(
    ("sentence", "html"),
    [
        ("`fanbench choose` and `b`", "<code>fanbench choose</code> and <code>b</code>"),
        ("`<b>` a & b", "<code>&lt;b&gt;</code> a &amp; b"),
        ("one ` alone", "one ` alone"),
    ],
)
def test_commands_in_a_sentence_are_code(sentence: str, html: str) -> None:
    assert with_code(sentence) == html


def test_both_themes_have_every_colour_that_charts_use(few: Path) -> None:
    text = written(few)
    assert THEMES["light"].keys() == THEMES["dark"].keys()
    used = set(re.findall(r"var\(--([a-z]+)\)", text))
    assert used <= THEMES["light"].keys() | {"page"}
    figures = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert set(re.findall(r"#[0-9a-f]{6}\b", figures)) <= {"#000000"}


def test_charts_are_also_files_that_stand_alone(few: Path) -> None:
    names = sorted(path.name for path in (few / "charts").iterdir())
    assert names == ["broker.svg", "cpu.svg", "hops.svg", "memory.svg", "percentiles.svg", "timeline.svg"]
    for name in names:
        root = ElementTree.fromstring((few / "charts" / name).read_text())  # well-formed
        assert root.tag.endswith("svg")


def test_a_report_can_be_built_again_and_changes_nothing_else(few: Path) -> None:
    before = {path: path.read_bytes() for path in few.rglob("*") if path.is_file() and path.suffix != ".svg"}
    assert build_report([few], markdown=False) == str(few / "report.html")
    assert {path: path.read_bytes() for path in before if path.suffix != ".html"} == {
        path: text for path, text in before.items() if path.suffix != ".html"
    }


def test_several_directories_share_a_page(tmp_path: Path) -> None:
    folders = [stored(tmp_path / name, runs(FEW[:2])) for name in ("one", "two")]
    before = {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}
    path = Path(build_report(folders, markdown=False))
    assert {p: p.read_bytes() for folder in folders for p in folder.rglob("*") if p.is_file()} == before
    page = Page(path.read_text())
    assert path == tmp_path / "one" / "report.html"
    assert page.text.count("In figures") == 2
    assert len(page.ids) == len(set(page.ids))


def test_directories_with_one_name_are_distinguished(tmp_path: Path) -> None:
    folders = [stored(tmp_path / parent, runs(FEW[:2], (1,))).rename(tmp_path / parent / "rooms") for parent in "ab"]
    views = [view_of(load_results(folder), draw=False) for folder in folders]
    assert titles_of(folders, views) == ["a/rooms", "b/rooms"]
    other = replace(views[1], comparison=replace(views[1].comparison, host={"cpu": "another CPU"}))
    assert titles_of(folders, [views[0], other]) == ["rooms", "rooms, another CPU"]


def test_a_directory_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    folder = stored(tmp_path, runs(FEW[:2], (1,)))
    (folder / "manifest.json.new").mkdir()
    with pytest.raises(FanbenchError, match=r"manifest\.json\.new: .*; make room or give write permission"):
        build_report([folder], markdown=False)


@pytest.mark.parametrize("made", [[], [made_up.run(problems=("generator late",))], [made_up.run()]])
def test_little_to_show_is_still_a_report(tmp_path: Path, made: list[Run]) -> None:
    page = page_of(stored(tmp_path, made))
    assert "How it was measured" in page.text
    assert ("Refused runs" in page.text) == any(run.problems for run in made)


def test_a_path_that_is_not_a_result_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a result directory"):
        build_report([tmp_path], markdown=False)


def test_markdown_is_two_tables_whatever_the_names(tmp_path: Path) -> None:
    made = [made_up.run(name, r) for r in FIVE for name in ("valkey", "a|b*c<d>")]
    folder = stored(tmp_path, made)
    lines = build_report([folder], markdown=True).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 8
    for table in (rows[:4], rows[4:]):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
        assert any("a\\|b\\*c\\<d\\>" in line for line in table)
    assert lines[0].startswith("**Take ")
    assert " · cores 2 · " in lines[-1]  # a bare 2 would say nothing
    assert as_markdown(view_of(load_results(folder))) in build_report([folder, folder], markdown=True)


@pytest.mark.parametrize("contenders", [FEW, MANY])
def test_the_terminal_table_fits_in_80_columns(contenders: Contenders) -> None:
    comparison = made_up.comparison(runs(contenders))
    console = Console(width=80, record=True)
    with console.capture() as captured:
        console.print(terminal_table(comparison))
    printed = captured.get()
    for standing in standings(comparison):
        line = next(line for line in printed.splitlines() if line.startswith(standing.contender[:12]))
        assert "5/5" in line
    assert "…" not in printed.replace("contender…of-many", "")


def test_the_table_has_the_figures_of_the_histograms() -> None:
    hops = {"schedule": [1.0] * 100, "broker": [2.0] * 100, "fanout": [7.0] * 100, "latency": [10.0] * 100}
    made = {hop: made_up.histogram(values) for hop, values in hops.items()}
    (row,) = table_rows(made_up.comparison([made_up.run("valkey", r, histograms=made) for r in FIVE]))
    assert (row.p50, row.p99, row.broker_p99, row.fanout_p99, row.share) == ("10.0", "10.0", "2.00", "7.00", "20%")
    assert (row.place, row.lost, row.runs) == ("a", "0", "5/5")


CHARTS: list[Callable[..., Any]] = [
    charts.hops,
    charts_lines.percentiles,
    charts_lines.timeline,
    charts.cpu,
    charts.memory,
]


@pytest.mark.parametrize("draw", CHARTS, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("contenders", [FEW, MANY, FEW[:1], [("x" * 70, 3.0, 1.0), ("y", 0.001, 800.0)]])
def test_no_two_labels_of_a_chart_overlap(draw: Callable[..., Any], contenders: Contenders) -> None:
    assert_no_overlap(draw(standings(made_up.comparison(runs(contenders, (1, 2))))))


def assert_no_overlap(figure: Any) -> None:
    """Fail when two texts of a figure overlap, or one leaves it at a side."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns if it cannot lay out a figure
        figure.canvas.draw()
    boxes = [(text.get_text(), Text.get_window_extent(text)) for text in drawn_texts(figure)]
    for said, box in boxes:
        assert box.x0 >= figure.bbox.x0 - 1, said
        assert box.x1 <= figure.bbox.x1 + 1, said
    for (one, first), (other, second) in itertools.combinations(boxes, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        down = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert not (across > 1 and down > 2), f"{one!r} overlaps {other!r}"


def drawn_texts(figure: Any) -> list[Text]:
    """Every drawn text; ticks beyond an axis' limits exist but are not drawn."""
    hidden = [
        tick
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_ticklabels(which="both")
        if not min(axis.get_view_interval()) <= tick.get_position()[axis is axes.yaxis] <= max(axis.get_view_interval())
    ]
    shown = [text for axes in figure.axes if axes.get_visible() for text in axes.findobj(match=Text)]
    return [text for text in shown if text.get_visible() and text.get_text().strip() and text not in hidden]


def test_every_axis_has_its_unit() -> None:
    found = standings(made_up.comparison(runs(FEW, (1, 2))))
    labels = {
        figure.axes[0].get_xlabel() for figure in (draw(found) for draw in (charts.hops, charts.cpu, charts.memory))
    }
    assert labels == {"mean latency, ms", "CPU seconds per million deliveries", "peak resident memory, MB"}
    assert charts_lines.percentiles(found).axes[0].get_ylabel() == "latency, ms"  # type: ignore[union-attr]
    assert charts_lines.timeline(found).axes[0].get_xlabel() == "time, s"  # type: ignore[union-attr]


def test_stacked_hops_add_up_to_the_mean_latency() -> None:
    found = standings(made_up.comparison(runs(FEW[:1])))
    figure = charts.hops(found)
    assert figure is not None
    drawn = sum(bar.get_width() for bar in figure.axes[0].patches)
    assert drawn == pytest.approx(found[0].pooled().mean_ms(), rel=2e-3)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 8)), min_size=1, max_size=12),
)
def test_spread_labels_keep_their_order_and_never_overlap(items: list[tuple[float, float]]) -> None:
    wanted, sizes = [w for w, _ in items], [s for _, s in items]
    centres = spread(wanted, sizes, 0.0, 100.0)
    order = np.argsort(np.array(wanted), kind="stable")
    for one, other in itertools.pairwise(order):
        assert centres[other] - centres[one] >= (sizes[one] + sizes[other]) / 2 - 1e-6
    assert min(c - s / 2 for c, s in zip(centres, sizes, strict=True)) >= -1e-6
    assert max(c + s / 2 for c, s in zip(centres, sizes, strict=True)) <= 100 + 1e-6


def test_losses_are_shown_with_their_causes_and_only_where_there_are_any() -> None:
    lossy = [
        made_up.run(name, r, lost={"broker": 3, "gap": 2} if name == "nats" else None)
        for r in FIVE
        for name in ("valkey", "nats")
    ]
    (table,) = [one for one in view_of_runs(lossy).tables if one.title == "What was lost, and why"]
    assert [[cell.text for cell in row] for row in table.rows] == [["nats", "25", "15", "10", "0", "0", "0", "0"]]
    assert "What was lost, and why" not in [one.title for one in view_of_runs(runs(FEW)).tables]


def test_unwatched_parts_are_reported_as_text_and_never_as_a_figure() -> None:
    unseen = [made_up.run("nats://b1", r, usage={}, not_watched=("broker", "server", "others")) for r in FIVE]
    (row,) = table_rows(made_up.comparison(unseen))
    assert row.broker_cpu == row.server_cpu == row.broker_mb == row.server_mb == "not watched"
    view = comparison_view(made_up.comparison(unseen), draw=False)
    said = next(line for line in view.method if "Not watched: " in line)
    assert "CPU and memory of the broker, CPU and memory of the replicas and what else kept the machines busy" in said
    assert not any("All parts shared the machine below" in line for line in view.method)
    assert view.decision is not None
    assert sum(cell.text == "not watched" for cell in view.decision.rows[0]) == 2


def test_delivered_is_next_to_expected_and_a_repeated_round_counts_once() -> None:
    refused = made_up.run("valkey", 2, problems=("noise",))
    row = next(row for row in table_rows(made_up.comparison([refused, *runs(FEW)])) if row.contender == "valkey")
    assert (row.delivered, row.lost, row.runs) == ("25,000/25,000", "0", "5/5")


def view_of_runs(made: Sequence[Run]) -> View:
    return comparison_view(made_up.comparison(made), draw=False)
