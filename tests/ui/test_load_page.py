"""Locust's web page with the suite, in a real browser: starts that cannot work, results of each test, downloads."""

import json
import re
import urllib.request

import pytest
from playwright.sync_api import expect

from core.ports import free_port
from tests.load.swarm import START_S, swarm
from tests.server.program import running
from tests.waiting import wait_until


@pytest.fixture
def replica(tmp_path):
    with running(tmp_path, broker_url="memory://", rate_hz=50) as one:
        yield one


WORKERS = ["--processes", "2"]
ONCE = pytest.mark.parametrize(
    "locust",
    [pytest.param([], id="one process"), pytest.param(WORKERS, id="processes", marks=pytest.mark.soak)],
    indirect=True,
)
"""The page behaves the same with workers, which make each start of Locust slower: only make soak tests both."""


@pytest.fixture(params=[[], WORKERS], ids=["one process", "processes"])
def locust(tmp_path, replica, request):
    """Locust with its page, in one process and with workers; its address and the swarm."""
    port = free_port()
    with swarm(tmp_path, f"http://127.0.0.1:{replica.port}") as started:
        ports = ["--master-bind-port", str(started.port), "--master-port", str(started.port)] if request.param else []
        run = started.locust(
            "--web-host", "127.0.0.1", "--web-port", str(port), "-u", "6", "-r", "6", *request.param, *ports, headless=False
        )  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        workers = 2 if request.param else 0
        wait_until(lambda: run.text.count("reported as ready") >= workers and answers(url), "Locust's page", START_S)
        yield url, started


def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


def start(page, url):
    page.goto(url)
    page.get_by_role("button", name=re.compile("^start", re.IGNORECASE)).click()


def stop(page):
    page.get_by_role("button", name=re.compile("^stop", re.IGNORECASE)).click()


def test_each_test_has_a_result_of_its_own_to_see_and_to_download(page, locust):
    url, started = locust
    start(page, url)
    for count in (1, 2):
        started.wait_status("reached", 6)
        seen = started.status()["deliveries"]
        started.wait_status("deliveries", seen + 60)
        stop(page)
        page.get_by_role("tab", name="fanbench").click()
        expect(page.get_by_role("cell", name="latency", exact=True)).to_have_count(count)
        expect(page.get_by_role("cell", name="at replica-1")).to_have_count(count)
        if count == 1:
            page.get_by_role("button", name=re.compile("^new", re.IGNORECASE)).click()
            page.get_by_role("button", name=re.compile("^start", re.IGNORECASE)).click()
    page.reload()
    page.get_by_role("tab", name=re.compile("download", re.IGNORECASE)).click()
    links = page.get_by_role("link", name=re.compile("fanbench: result of"))
    expect(links).to_have_count(2)
    with page.expect_download() as download:
        links.first.click()
    assert re.fullmatch(r"fanbench-\d{8}T\d{6}Z\.json", download.value.suggested_filename)
    result = json.loads(download.value.path().read_text())
    assert (result["clients"], result["asked"], result["lost"], result["problems"]) == (6, 6, 0, [])
    files = sorted(started.folder.glob("out-*.json"))
    assert len(files) == 2
    assert json.loads(files[1].read_text()) == result
    assert started.started[0].text.count("deliveries/s") == 2


@ONCE
def test_a_start_that_cannot_work_says_why_and_stops(page, locust):
    url, started = locust
    page.goto(url)
    page.get_by_label(re.compile("^host", re.IGNORECASE)).fill("http://no.such.host.invalid:1")
    page.get_by_role("button", name=re.compile("^start", re.IGNORECASE)).click()
    expect(page.get_by_text(re.compile("no.such.host.invalid.*is the host name right"))).to_be_visible()
    page.get_by_label(re.compile("^host", re.IGNORECASE)).fill(started.url)
    page.get_by_role("button", name=re.compile("^start", re.IGNORECASE)).click()
    started.wait_status("clients", 6)
    assert len(started.started[0].text.splitlines()) < 60


@ONCE
def test_options_that_do_not_change_in_a_running_test_are_not_offered_then(page, locust):
    url, started = locust
    start(page, url)
    started.wait_status("reached", 6)
    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_role("heading", name="Edit running load test")).to_be_visible()
    expect(page.get_by_text("Custom parameters")).not_to_be_visible()
    page.keyboard.press("Escape")
    stop(page)
    page.get_by_role("button", name=re.compile("^new", re.IGNORECASE)).click()
    expect(page.get_by_text("Custom parameters")).to_be_visible()


def post(url, **form):
    data = "&".join(f"{name}={value}" for name, value in form.items()).encode()
    return json.loads(urllib.request.urlopen(urllib.request.Request(f"{url}/swarm", data), timeout=20).read())


@ONCE
def test_paths_cannot_be_set_from_the_page_nor_what_is_fixed_while_a_test_runs(page, locust, tmp_path):
    url, started = locust
    page.goto(url)
    page.get_by_text("Custom parameters").click()
    expect(page.get_by_label(re.compile("^Topic ")).first).to_be_visible()
    for name in ("Out", "Status", "Control", "Run Name", "Fail If"):
        expect(page.get_by_label(re.compile(f"^{name} "))).to_have_count(0)
    other = tmp_path / "elsewhere.json"
    for name in ("out", "status", "csv_prefix", "body", "tokens"):
        refused = post(url, user_count=6, spawn_rate=6, **{name: other})
        assert not refused["success"]
        assert f"cannot set {name}" in refused["message"]
    assert post(url, user_count=6, spawn_rate=6)["success"]
    started.wait_status("reached", 6)
    assert "topic cannot change while a test runs" in post(url, user_count=6, spawn_rate=6, topic="b")["message"]
    # The dialog that edits a running test also sends all options, 1.0 as 1, as they were shown at first.
    assert post(url, user_count=8, spawn_rate=8, topic="events", drain=1, warmup=0, topic_skew=0, token="")["success"]
    started.wait_status("clients", 8)
    urllib.request.urlopen(urllib.request.Request(f"{url}/stop", method="POST"), timeout=20).read()
    (out,) = started.folder.glob("out-*.json")
    assert (json.loads(out.read_text())["asked"], json.loads(out.read_text())["clients"]) == (8, 8)
    assert not other.exists()


def cells(page, name):
    """The row of that name in Locust's table, by the column's title."""
    table = page.get_by_role("table").first
    titles = table.get_by_role("columnheader").all_inner_texts()
    row = table.get_by_role("row").filter(has=page.get_by_role("cell", name=name, exact=True))
    return dict(zip(titles, row.get_by_role("cell").all_inner_texts(), strict=False))


def rows_with(page, deliveries):
    """The rows connect, delivery and total, once they show this many deliveries: a page may stop polling too early."""
    page.reload()
    expect(page.get_by_role("cell", name="Aggregated", exact=True)).to_be_visible()
    rows = [cells(page, name) for name in ("connect", "delivery", "Aggregated")]
    return rows if all(rows) and number(rows[1].get("# Requests", "0")) == deliveries else None


def number(text):
    return float(text.replace(",", ""))


def test_the_table_keeps_connect_and_delivery_apart_with_sizes_and_tenths_of_a_millisecond(page, locust):
    url, started = locust
    start(page, url)
    started.wait_status("deliveries", 600)
    stop(page)
    expect(page.get_by_role("cell", name="Aggregated", exact=True)).to_be_visible()
    (out,) = wait_until(lambda: list(started.folder.glob("out-*.json")), "the result")
    result = json.loads(out.read_text())
    shown = wait_until(lambda: rows_with(page, result["deliveries"]), "all deliveries in the table", START_S)
    connect, delivery, total = shown
    assert number(connect["# Requests"]) == 6
    assert number(total["# Requests"]) == number(delivery["# Requests"])
    assert number(delivery["Average size (bytes)"]) == pytest.approx(result["event_bytes"], rel=0.05)
    assert number(delivery["Min (ms)"]) % 1 or number(delivery["Median (ms)"]) % 1 or number(delivery["Min (ms)"]) >= 10
    answer = json.loads(urllib.request.urlopen(f"{url}/stats/requests", timeout=20).read())
    # The charts use only the total's figures: deliveries.
    history = answer["current_response_time_percentiles"]
    assert set(history) == {"response_time_percentile_0.5", "response_time_percentile_0.95"}
    assert (
        sum(one["num_requests"] for one in answer["stats"] if one["name"] == "delivery")
        == answer["stats"][-1]["num_requests"]
    )


def test_reset_on_the_page_means_the_same_for_the_result(page, locust):
    url, started = locust
    start(page, url)
    started.wait_status("reached", 6)
    started.wait_status("deliveries", 900)
    page.get_by_role("button", name=re.compile("^reset", re.IGNORECASE)).click()
    wait_until(lambda: started.status()["deliveries"] < 900, "deliveries to be counted anew", START_S)
    started.wait_status("deliveries", 120)
    stop(page)
    (out,) = wait_until(lambda: list(started.folder.glob("out-*.json")), "the result", START_S)
    result = json.loads(out.read_text())
    assert 120 <= result["deliveries"] == result["received"] == 6 * result["events"]
    assert (result["lost"], result["problems"], result["left"]) == (0, [], 0)
