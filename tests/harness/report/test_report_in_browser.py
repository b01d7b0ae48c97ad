"""The report and a notebook in a browser: on a screen, on a phone, in dark mode, on paper."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from brokers.contenders import all_contenders
from harness.analysis.standings import standings
from harness.report import bar_charts as charts
from harness.report import line_charts as charts_lines
from harness.report.notebook import show
from harness.report.page import build_report
from harness.results.store import open_results, store_capacity
from tests.harness import made_up
from tests.harness.report.test_report_kinds import fault_runs, search_runs
from tests.ui.conftest import browser, page  # noqa: F401 - fixtures

NAMES = [contender.name for contender in all_contenders()]
PAPER = 1047
"""The printable width of A4, turned as the page asks, in CSS pixels."""
LAYOUT = """() => {
  const wrong = [], page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) wrong.push(`the page is ${page.scrollWidth} wide`);
  const pictures = [...document.querySelectorAll('svg')].filter(svg => svg.querySelector('text') && svg.clientWidth);
  for (const svg of pictures) {
    const frame = svg.getBoundingClientRect();
    if (frame.right > page.clientWidth + 1) wrong.push(`a picture ends at ${frame.right}`);
    if (!svg.querySelector('path, use')) wrong.push('an empty picture');
    const texts = [...svg.querySelectorAll('text')].map(text => [text.textContent.trim(), text.getBoundingClientRect()]);
    texts.forEach(([said, box], place) => {
      if (box.left < frame.left - 1 || box.right > frame.right + 1) wrong.push(`'${said}' leaves its picture`);
      for (const [other, its] of texts.slice(place + 1)) {
        const across = Math.min(box.right, its.right) - Math.max(box.left, its.left);
        const down = Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top);
        if (across > 1 && down > 3) wrong.push(`'${said}' overlaps '${other}'`);
      }
    });
  }
  return [pictures.length, wrong];
}"""
CUT_OFF = """() => [...document.querySelectorAll('.card')].filter(card => card.scrollWidth > card.clientWidth + 1)
  .map(card => `${card.getAttribute('aria-label')}: ${card.scrollWidth} of ${card.clientWidth}`)"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page over a comparison of every contender, faults and a capacity search."""
    parent = tmp_path_factory.mktemp("results")
    compared = [made_up.run(name, r, broker_ms=1 + place / 4) for r in range(1, 6) for place, name in enumerate(NAMES)]
    kinds = {"broadcast": compared, "faults": fault_runs(), "capacity": search_runs()}
    for name, runs in kinds.items():
        host = {"cpu": "an example CPU", "cores": "2"}
        folder = open_results(parent, name, scenario=made_up.SCENARIO, command="fanbench", host=host, versions={})
        for run in runs:
            folder.add_run(run)
        path = folder.finish(complete=True, verdict=["valkey holds it"])
        if name == "capacity":
            store_capacity(path, made_up.search())
    return Path(build_report([parent], markdown=False))


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook whose outputs are the report's charts, as Jupyter shows them."""
    import nbformat  # two CPU seconds, which only the worker that runs this test needs
    from nbconvert import HTMLExporter

    found = standings(made_up.comparison([made_up.run(name, r) for r in range(1, 6) for name in NAMES[:5]]))
    pictures = [show(draw(found)) for draw in (charts.hops, charts_lines.percentiles, charts_lines.timeline)]
    outputs = [
        nbformat.v4.new_output("display_data", {"text/html": made._repr_html_()})  # type: ignore[union-attr]
        for made in pictures
    ]
    cell = nbformat.v4.new_code_cell("show()", outputs=outputs)
    text, _ = HTMLExporter(require_js_url="", mathjax_url="", jquery_url="").from_notebook_node(  # type: ignore[no-untyped-call]
        nbformat.v4.new_notebook(cells=[cell])
    )
    path = tmp_path_factory.mktemp("notebook") / "notebook.html"
    path.write_text(text)
    return path


def opened(page: Page, path: Path) -> Page:  # noqa: F811
    page.set_content(path.read_text(), wait_until="domcontentloaded")
    return page


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_no_label_overlaps_and_nothing_leaves_the_window(page: Page, report: Path, width: int, scheme: str) -> None:  # noqa: F811
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 900})
    pictures, wrong = opened(page, report).evaluate(LAYOUT)
    assert (pictures, wrong) == (9, [])
    for switch in page.locator(".scale input").all():
        switch.check()
    assert page.evaluate(LAYOUT) == [9, []]


@pytest.mark.parametrize("width", [1280, 390])
def test_a_table_that_is_wider_than_the_window_says_so_and_scrolls(page: Page, report: Path, width: int) -> None:  # noqa: F811
    page.set_viewport_size({"width": width, "height": 900})
    opened(page, report)
    cards = page.evaluate("""() => [...document.querySelectorAll('.card')].map(card => [
        card.scrollWidth > card.clientWidth + 1, card.previousElementSibling?.checkVisibility(), getComputedStyle(card).overflowX])""")
    tables = [(wide, hint) for wide, hint, overflow in cards if overflow == "auto" and hint is not None]
    assert tables
    assert all(hint or not wide for wide, hint in tables)
    assert any(wide for wide, _ in tables) is (page.locator(".wide:visible").count() > 0)


def test_a_pointer_finds_the_values_of_every_contender(page: Page, report: Path) -> None:  # noqa: F811
    page.set_viewport_size({"width": 1280, "height": 900})
    opened(page, report)
    figure = page.locator("figure[data-tips]").first
    figure.scroll_into_view_if_needed()
    box = figure.locator("svg").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.15, box["y"] + box["height"] / 2)
    tip = figure.locator(".tip")
    expect(tip).to_be_visible()
    lines = tip.inner_text().splitlines()
    assert re.fullmatch(r"p[\d.]+, ms", lines[0])
    assert sorted(line.split()[0] for line in lines[1:]) == sorted(NAMES)
    assert all(re.fullmatch(r"\S+ [\d.]+ \([\d.]+–[\d.]+\)", line) for line in lines[1:])
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2)
    expect(tip).not_to_have_text("\n".join(lines))
    page.mouse.move(1, 1)
    expect(tip).to_be_hidden()


@pytest.mark.parametrize("width", [1280, 390])
def test_a_notebooks_charts_fit_the_window(page: Page, notebook: Path, width: int) -> None:  # noqa: F811
    page.route("**/*", lambda route: route.abort())  # the exporter fetches none of the charts
    page.set_viewport_size({"width": width, "height": 900})
    widths = opened(page, notebook).evaluate(
        "[...document.images].map(i => [i.naturalWidth, i.getBoundingClientRect().right])"
    )
    assert len(widths) == 3
    assert all(natural > 0 and right <= width for natural, right in widths), widths


def test_on_paper_no_table_is_cut_off_and_the_method_is_there(page: Page, report: Path) -> None:  # noqa: F811
    page.set_viewport_size({"width": PAPER, "height": 1000})
    page.emulate_media(media="print")
    opened(page, report)
    assert page.evaluate(CUT_OFF) == []
    assert page.get_by_text("Open loop: each event").first.is_visible()
    assert page.locator(".scale:visible, .tip:visible, .wide:visible").count() == 0


def test_the_first_screen_of_each_result_is_printed(page: Page, report: Path) -> None:  # noqa: F811
    opened(page, report)
    compared = page.locator(".decided")
    assert compared.get_by_role("heading", name="Charts", exact=True).is_visible()
    page.emulate_media(media="print")
    assert not compared.get_by_role("heading", name="Charts", exact=True).is_visible()
    assert compared.get_by_text("The rest of this result is on screen").is_visible()
    assert page.get_by_text("What each fault did").is_visible()


def test_on_paper_it_has_twelve_pages_at_most(page: Page, report: Path) -> None:  # noqa: F811
    pages = re.findall(rb"/Type\s*/Page\b", opened(page, report).pdf(prefer_css_page_size=True))
    assert 2 < len(pages) <= 12


def test_no_other_script_runs_in_the_page_and_its_pictures_are_all_there(report: Path, page: Page) -> None:  # noqa: F811
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    text = report.read_text(encoding="utf-8")
    page.set_content(text)
    pictures, _ = page.evaluate(LAYOUT)
    assert pictures > 5
    assert complaints == []  # the policy blocks nothing that the page needs
    smuggled = text.replace(
        '<main class="several">',
        "<main><img src=x onerror='window.ran=1'><script>window.ran=1</script><svg onload='window.ran=1'></svg>",
    )
    page.set_content(smuggled)
    assert page.evaluate("() => window.ran") is None
    assert len(complaints) >= 2
