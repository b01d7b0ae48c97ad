"""The site over bundles of the reference results, of a later day, and of a forgery; as files and in a browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Page, expect

from core.errors import FanbenchError, UsageError
from harness.publish.site import WrittenSite, write_site
from harness.publish.verify import verify
from harness.publish.write_bundle import write_bundle
from tests.harness.publish import made_bundle
from tests.harness.publish.made_bundle import packed
from tests.harness.report.test_report_in_browser import LAYOUT
from tests.ui.conftest import browser, page  # noqa: F401 - fixtures

pytestmark = pytest.mark.slow
REFERENCE = Path(__file__).parents[3] / "results" / "reference"
PARTS = ("capacity-valkey", "failovers-connected", "transports")
"""The small reference results: a verdict over 16 contenders takes seconds."""
EARLIER, LATER = "2026-11-25", "2026-11-28"
LINK = re.compile(r'<a href="([^"#]+)"')


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reference results, a comparison of two days and versions, a forgery, and a truncated one."""
    folder = tmp_path_factory.mktemp("bundles")
    write_bundle([REFERENCE / part for part in PARTS], folder / "reference.fanbench.zip")
    for date, version in ((EARLIER, "2.15.1"), (LATER, "2.16.0")):
        made = tmp_path_factory.mktemp("made") / "compared"
        made_bundle.store(made, made_bundle.compared_runs(), date=date, versions={"valkey": "9.1.0", "nats": version})
        if date == EARLIER:
            made_bundle.store(made.with_name("faults"), made_bundle.fault_runs(), scenario=made_bundle.FAULTS)
        write_bundle([made], folder / f"{date}.fanbench.zip")
    made = made_bundle.store(tmp_path_factory.mktemp("made") / "faults", made_bundle.fault_runs())
    members = made_bundle.bundle(made, folder / "forged.fanbench.zip")
    lied = members["faults/report.json"].replace(b"40 lost", b"4 lost")
    packed(made_bundle.sealed(members | {"faults/report.json": lied}), folder / "forged.fanbench.zip")
    (folder / "cut.fanbench.zip").write_bytes((folder / "reference.fanbench.zip").read_bytes()[:1000])
    return folder


@pytest.fixture(scope="module")
def site(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> WrittenSite:
    return write_site([bundles], tmp_path_factory.mktemp("public"))


@pytest.fixture(scope="module")
def address(site: WrittenSite) -> Iterator[str]:
    """The site on a plain web server."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(site.index.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def files(site: WrittenSite) -> dict[str, bytes]:
    top = site.index.parent
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def test_it_has_each_result_each_contender_and_each_bundle(site: WrittenSite, bundles: Path) -> None:
    found = files(site)
    assert {f"results/reference/{name}.html" for name in PARTS} <= found.keys()
    assert site.results == len(PARTS) + 3
    assert {"contenders/nats.html", "contenders/valkey-cluster-classic.html", "contenders/memory.html"} <= found.keys()
    assert found[f"bundles/{LATER}.fanbench.zip"] == (bundles / f"{LATER}.fanbench.zip").read_bytes()
    assert verify(site.index.parent / "bundles" / f"{LATER}.fanbench.zip").differences == ()
    assert not [name for name in found if "forged" in name]


@pytest.mark.soak
def test_all_of_the_reference_results_make_a_site(tmp_path: Path) -> None:
    bundle = write_bundle([REFERENCE], tmp_path / "reference.fanbench.zip")
    assert verify(bundle).differences == ()
    stored = {path.parent.name for path in REFERENCE.glob("*/manifest.json")}
    written = write_site([bundle], tmp_path / "site")
    assert written.results == len(stored)
    assert {path.stem for path in (tmp_path / "site" / "results" / "reference").glob("*.html")} == stored


def test_every_link_leads_to_a_file_and_nothing_is_loaded_from_elsewhere(site: WrittenSite) -> None:
    for name, data in files(site).items():
        if name.endswith(".html"):
            text = data.decode()
            assert re.findall(r'\b(?:src|srcset)="|@import|<link\b', text) == [], name
            assert "default-src 'none'" in text
            for target in LINK.findall(text):
                assert (site.index.parent / name).parent.joinpath(target).is_file(), f"{name} leads to {target}"


def test_omissions_are_named_with_their_reasons(site: WrittenSite) -> None:
    told = {one.file: one.why for one in site.left_out}
    assert told.keys() == {"forged.fanbench.zip", "cut.fanbench.zip"}
    assert "faults/report.json" in told["forged.fanbench.zip"]
    assert "4 lost" in told["forged.fanbench.zip"]
    assert "it is truncated or damaged" in told["cut.fanbench.zip"]
    text = site.index.read_text()
    assert all(f"<code>{name}</code>" in text for name in told)


def test_a_page_of_a_contender_has_its_figures_its_trends_and_the_commands(site: WrittenSite) -> None:
    text = (site.index.parent / "contenders" / "nats.html").read_text()
    for title in (
        "p99 of the latency over dates",
        "p99 of the latency over versions",
        "p50 of the broker hop over dates",
    ):
        assert f"<h3>{title}</h3>" in text
    assert "2.16.0" in text
    assert "fanbench compare valkey nats --rounds 5" in text
    assert "fanbench compare valkey nats --transport sse,ws --rounds 5" in text
    assert "replica-kill" in text
    alone = (site.index.parent / "contenders" / "nats-cluster.html").read_text()
    assert "No trend yet: it needs two results with one workload on one machine" in alone


def test_the_same_bundle_twice_is_one_and_the_same_bundles_give_the_same_bytes(bundles: Path, tmp_path: Path) -> None:
    folder = made_bundle.store(tmp_path / "faults", made_bundle.fault_runs())
    one = write_bundle([folder], tmp_path / "a.fanbench.zip")
    shutil.copy(one, tmp_path / "b.fanbench.zip")
    first = write_site([tmp_path], tmp_path / "first")
    assert first.results == 1
    assert files(first) == files(write_site([one, tmp_path / "b.fanbench.zip"], tmp_path / "second"))


def test_a_foreign_bundle_does_not_end_the_site(tmp_path: Path) -> None:
    long = "nats://" + "h" * 300
    runs = [replace(run, contender=long) if run.contender == "nats" else run for run in made_bundle.compared_runs()]
    for date in ("soon", LATER):
        made = made_bundle.store(tmp_path / date / "compared", runs, date=date)
        write_bundle([made], tmp_path / f"{date}.fanbench.zip")
    assert write_site([tmp_path], tmp_path / "public").results == 2


def test_nothing_to_show_is_an_error(bundles: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no \*.fanbench.zip; make one with fanbench bundle"):
        write_site([tmp_path], tmp_path / "site")
    with pytest.raises(FanbenchError, match=r"cut.fanbench.zip: .*truncated or damaged"):
        write_site([bundles / "cut.fanbench.zip"], tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_filters_show_what_was_asked_for_and_the_address_keeps_them(
    page: Page,  # noqa: F811
    address: str,
    site: WrittenSite,
) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"{address}/index.html")
    shown, count = page.locator(".results > li:visible"), page.locator("#count")
    expect(count).to_have_text(f"{site.results} of {site.results} results")
    page.get_by_label("contender").select_option("nats-cluster")
    expect(count).to_have_text(f"1 of {site.results} results")
    assert "failovers" in shown.first.inner_text()
    page.get_by_label("contender").select_option("nats")
    page.get_by_label("from").fill(LATER)
    page.get_by_label("from").dispatch_event("change")
    expect(count).to_have_text(f"1 of {site.results} results")
    assert LATER in shown.first.inner_text()
    kept = page.url
    page.get_by_role("button", name="Show all").click()
    expect(shown).to_have_count(site.results)
    page.goto("about:blank")
    page.goto(kept)
    expect(shown).to_have_count(1)
    shown.first.get_by_role("link", name="nats", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("nats")
    page.get_by_role("link", name="All results").click()
    expect(shown).to_have_count(site.results)
    assert [text for text in complaints if "favicon" not in text and "404" not in text] == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["index.html", "contenders/nats.html", f"results/{LATER}/compared.html"])
def test_nothing_leaves_the_window_and_no_label_overlaps(name: str, width: int, page: Page, address: str) -> None:  # noqa: F811
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{address}/{name}")
    _, wrong = page.evaluate(LAYOUT)
    assert wrong == []
