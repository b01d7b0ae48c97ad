"""The page in a real browser, with a real replica, broker and generator."""

import os
import re
import signal
import time

import pytest
from playwright.sync_api import CDPSession, Page, expect

from core.stamp import parse_id
from tests.server.program import SseClient
from tests.ui.stack import Stack
from tests.waiting import wait_until

HOSTILE = "<img src=x onerror=\"document.title='hacked'\">"
HOSTILE_TOPIC = "<img/src=x/onerror=document.title='hacked'>"
MOST_ROWS = 100


def open_live(page: Page, stack: Stack, query: str = "") -> None:
    page.goto(stack.replica.url + query)
    expect(page.locator("#state")).to_have_attribute("data-state", "live")


def ids(page: Page) -> list[str]:
    """The ids of the listed events, newest first."""
    return page.locator("tbody tr:not(.gap) td.id").all_text_contents()


def number(page: Page, name: str) -> int:
    return int(page.locator(f"#{name}").inner_text().replace(",", ""))


def newest_seq(page: Page) -> int:
    place = parse_id(ids(page)[0])
    assert place is not None
    return place[1]


def test_events_appear_newest_first_with_topic_replica_latency_and_age(page: Page, stack: Stack):
    stack.generate(rate_hz=20)
    open_live(page, stack)
    expect(page.locator("tbody tr").nth(9)).to_be_visible()

    shown = ids(page)
    places = [parse_id(text) for text in shown]
    assert None not in places
    assert places == sorted(places, reverse=True)
    assert len(set(shown)) == len(shown)
    cells = page.locator("tbody tr").first.locator("td")
    assert cells.nth(1).inner_text() == "events"
    assert cells.nth(2).inner_text() == "replica-1"
    assert re.fullmatch(r"-?[\d.]+ (ms|s)", cells.nth(3).inner_text())
    expect(page.locator("tbody tr").last.locator("td.age")).to_have_text(re.compile(r"^\d+ s$"))
    expect(page.locator("#rate")).not_to_have_text("0")
    expect(page.locator("#hop-broker")).to_have_text(re.compile("ms$"))
    assert page.locator("#replicas .name").all_inner_texts() == ["replica-1"]
    for name in ("missing", "duplicates", "foreign", "gaps", "reconnects"):
        assert number(page, name) == 0


@pytest.mark.parametrize("own_stack", ["redis+streams"], indirect=True)
@pytest.mark.parametrize("topics", ["events", "room-1,room-2"])
def test_the_state_follows_the_server_and_the_stream_resumes_exactly(page: Page, own_stack: Stack, topics: str):
    own_stack.generate(rate_hz=20, topics=topics)
    open_live(page, own_stack, "?" + "&".join(f"topic={topic}" for topic in topics.split(",")))
    expect(page.locator("tbody tr").nth(4)).to_be_visible()

    own_stack.replica.stop()
    expect(page.locator("#state")).to_have_attribute("data-state", "reconnecting")
    expect(page.get_by_role("button", name="Retry now")).to_be_visible()
    expect(page.locator("#announce")).to_have_text("Reconnecting")
    before = newest_seq(page)

    own_stack.replica.start()
    expect(page.locator("#state")).to_have_attribute("data-state", "live")
    wait_until(lambda: newest_seq(page) > before + 20, "events go on")
    shown = page.locator("tbody tr:not(.gap)").evaluate_all("(rows) => rows.map((row) => row.innerText)")
    places = [tuple(text.split()[:2]) for text in shown]
    assert len(set(places)) == len(places)
    assert number(page, "duplicates") == 0
    assert number(page, "missing") == 0
    assert number(page, "gaps") == 0
    assert number(page, "reconnects") >= 1


def test_arriving_text_never_becomes_html(page: Page, stack: Stack):
    open_live(page, stack, f"?topic={HOSTILE_TOPIC}")
    title = page.title()
    stack.publish(1, topic=HOSTILE_TOPIC, pad=HOSTILE)
    row = page.locator("tbody tr").first
    expect(row.locator("td.topic")).to_have_text(HOSTILE_TOPIC)
    row.click()
    expect(page.locator("#detail-text")).to_contain_text("<img src=x onerror=")
    assert page.locator("img").count() == 0
    assert page.title() == title


def test_200_events_a_second_keep_the_list_bounded_and_paint_once_per_frame(page: Page, stack: Stack):
    stack.generate(rate_hz=200)
    open_live(page, stack)
    wait_until(lambda: number(page, "received") > 400, "400 events", 30)
    elements = page.locator("*").count()
    counted = page.evaluate(
        """() => new Promise((done) => {
          let frames = 0, changes = 0;
          new MutationObserver(() => { changes += 1; }).observe(document.getElementById("rows"), { childList: true });
          requestAnimationFrame(function next() {
            frames += 1;
            if (frames < 60) requestAnimationFrame(next);
            else done({ frames, changes });
          });
        })"""
    )
    wait_until(lambda: number(page, "received") > 1200, "1200 events", 30)
    assert 0 < counted["changes"] <= counted["frames"]
    assert page.locator("tbody tr").count() == MOST_ROWS
    assert page.locator("*").count() == elements
    assert number(page, "missing") == 0
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_have_attribute("aria-pressed", "true")


def test_pause_freezes_the_list_while_the_counts_continue(page: Page, stack: Stack):
    stack.generate(rate_hz=20)
    open_live(page, stack)
    expect(page.locator("tbody tr").first).to_be_visible()
    page.keyboard.press("p")
    held, received = ids(page), number(page, "received")
    wait_until(lambda: number(page, "received") > received + 10, "the count goes on")
    assert ids(page) == held
    expect(page.locator("#events-note")).to_have_text(re.compile(r"^paused, \d+ new$"))
    page.keyboard.press("p")
    wait_until(lambda: ids(page)[0] != held[0], "the list goes on")
    assert held[0] in ids(page)


def test_the_topic_is_chosen_by_name_and_kept_in_the_address(page: Page, stack: Stack):
    open_live(page, stack)
    stack.publish(1)
    expect(page.locator("td.topic")).to_have_text(["events"])
    page.get_by_label("Topic").fill("room-1, room-2")
    page.get_by_label("Topic").press("Enter")
    expect(page.locator("#state")).to_have_attribute("data-state", "live")
    assert page.url.endswith("?topic=room-1&topic=room-2")
    for seq, topic in ((2, "events"), (1, "room-1"), (1, "room-2")):
        stack.publish(seq, topic)
    expect(page.locator("td.topic")).to_have_text(["room-2", "room-1"])
    page.reload()
    expect(page.get_by_label("Topic")).to_have_value("room-1, room-2")


def test_holes_and_duplicates_are_counted_and_marked(page: Page, stack: Stack):
    open_live(page, stack)
    for seq in (1, 2, 5, 5, 4):
        stack.publish(seq)
    expect(page.locator("tbody tr:not(.gap)")).to_have_count(5)
    rows = page.locator("tbody tr").all()
    assert [row.get_attribute("class") for row in rows] == ["late", "duplicate", "hole", "gap", "next", "first"]
    expect(rows[3].locator("td.id")).to_contain_text("2 lost")
    assert number(page, "gaps") == 1
    assert number(page, "duplicates") == 1
    assert number(page, "missing") == 1


def test_a_broken_link_to_the_broker_is_shown_as_a_gap(page: Page, own_stack: Stack):
    open_live(page, own_stack)
    own_stack.broker.kill()
    own_stack.broker.start_again()
    gap = page.locator("tbody tr.gap").first
    expect(gap.locator("td.id")).to_contain_text("gap:")
    expect(gap.locator("td.server")).to_have_text("replica-1")
    assert number(page, "gaps") >= 1


def test_a_lost_broker_is_shown_while_the_stream_is_open(page: Page, own_stack: Stack):
    open_live(page, own_stack)
    own_stack.broker.kill()
    expect(page.locator("#state-name")).to_have_text("Broker away")
    expect(page.locator("#announce")).to_have_text("Broker away")
    expect(page.locator("#state")).to_have_attribute("data-state", "live")
    expect(page.locator("#broker")).to_have_text("Broker redis away")
    own_stack.broker.start_again()
    expect(page.locator("#state-name")).to_have_text("Live")


def test_nanoseconds_keep_their_digits_and_a_slow_clock_is_named(page: Page, stack: Stack):
    open_live(page, stack)
    stack.publish(1, due_ns=8_007_199_254_740_993_001)
    expect(page.locator("#skew")).to_contain_text("behind the server's")
    page.get_by_role("region", name="Events, newest first").press("ArrowDown")
    expect(page.locator("tbody tr")).to_have_attribute("aria-current", "true")
    expect(page.locator("#detail-text")).to_contain_text('"due_ns": 8007199254740993001')
    expect(page.get_by_role("status")).to_have_count(1)  # figures that change four times a second are not read aloud
    expect(page.get_by_role("status")).to_contain_text(re.compile(r"^Event \w+-\d+, schedule "))


def test_an_error_answer_is_retried_although_the_browser_gives_up(page: Page, stack: Stack):
    page.route("**/sse?*", lambda route: route.fulfill(status=502, body="Bad Gateway"))
    page.goto(stack.replica.url)
    expect(page.locator("#state-detail")).to_contain_text("the server answered 502: Bad Gateway; next try in")
    page.unroute("**/sse?*")
    page.get_by_role("button", name="Retry now").click()
    expect(page.locator("#state")).to_have_attribute("data-state", "live")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?topic=a%20b", "400: topic 'a b'"),
        ("?" + "&".join(f"topic=t{i}" for i in range(40)), "400: 40 topics; a client may have 32"),
    ],
)
def test_a_refusal_is_shown_in_the_servers_words_and_not_retried(page: Page, stack: Stack, query: str, words: str):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/sse" in request.url else None)
    page.goto(stack.replica.url + query)
    expect(page.locator("#state")).to_have_attribute("data-state", "refused")
    expect(page.locator("#state-detail")).to_contain_text(words)
    expect(page.get_by_role("button", name="Retry now")).to_be_visible()
    seen = len(asked)
    heartbeats(stack, every_s=1, count=4)  # the first retry would come after at most 1.25 s
    assert len(asked) == seen
    page.get_by_label("Topic").fill("events")
    page.get_by_label("Topic").press("Enter")
    expect(page.locator("#state")).to_have_attribute("data-state", "live")


def test_a_silent_stream_is_not_called_live(page: Page, own_stack: Stack):
    open_live(page, own_stack)
    assert own_stack.replica.child is not None
    pid = own_stack.replica.child.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        expect(page.locator("#state")).to_have_attribute("data-state", "reconnecting", timeout=40_000)
        expect(page.locator("#state-detail")).to_contain_text("no heartbeat for", timeout=40_000)
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(page.locator("#state")).to_have_attribute("data-state", "live", timeout=40_000)


def test_a_quiet_stream_stays_live(page: Page, stack: Stack):
    open_live(page, stack, "?topic=quiet")
    states: list[str] = []
    page.expose_function("noteState", lambda state: states.append(state))
    page.evaluate(
        """() => new MutationObserver(() => noteState(document.getElementById("state").dataset.state))
          .observe(document.getElementById("state"), { attributes: true })"""
    )
    heartbeats(stack, every_s=5, count=4)  # longer than the silence after which a stream counts as dead
    page.evaluate("0")  # the page's messages arrive meanwhile
    assert set(states) <= {"live"}


def heartbeats(stack: Stack, every_s: int, count: int) -> None:
    """Return when another client has received this many."""
    with SseClient(stack.replica.port, f"/sse?topic=other&heartbeat={every_s}") as client:
        assert {event.event for event in client.take(count)} == {"heartbeat"}


BARE_MEDIAN_MS = """async (url) => {
  const found = [];
  const source = new EventSource(url);
  await new Promise((done) => {
    source.onmessage = ({ data }) => {
      found.push(performance.timeOrigin + performance.now() - JSON.parse(data).due_ns / 1e6);
      if (found.length >= 1000) done();
    };
  });
  source.close();
  return found.sort((a, b) => a - b)[500];
}"""


def test_the_latency_shown_is_the_events_and_painting_leaves_the_page_free(page: Page, stack: Stack):
    stack.generate(rate_hz=100)
    bare_page = page.context.new_page()
    bare_page.goto(f"{stack.replica.url}healthz")
    open_live(page, stack)
    wait_until(lambda: number(page, "received") > 300, "300 events", 30)
    metrics = page.context.new_cdp_session(page)
    metrics.send("Performance.enable", {"timeDomain": "threadTicks"})
    busy_s, at_s = main_thread_s(metrics), time.monotonic()
    bare_ms = bare_page.evaluate(BARE_MEDIAN_MS, f"{stack.replica.url}sse")
    shown = page.locator("#p50").inner_text()
    share = (main_thread_s(metrics) - busy_s) / (time.monotonic() - at_s)
    assert share < 0.4  # 0.18 on a slow core; 0.35 with animated bars, which needed 60 layouts a second
    shown_ms = float(shown.split()[0]) * (1000 if shown.endswith(" s") else 1)
    assert shown_ms < 3 * bare_ms + 2


def main_thread_s(metrics: CDPSession) -> float:
    """CPU time of the page's main thread in tasks so far."""
    found = {one["name"]: one["value"] for one in metrics.send("Performance.getMetrics")["metrics"]}
    return float(found["TaskDuration"])


def test_the_counters_agree_at_every_moment(page: Page, stack: Stack):
    stack.generate(rate_hz=100, topics="events")
    open_live(page, stack)
    wait_until(lambda: number(page, "received") > 50, "50 events")
    for _ in range(40):
        received, by_replica = page.evaluate(
            """() => [
              document.getElementById("received").textContent.replace(/,/g, ""),
              [...document.querySelectorAll("#replicas .count")].map((one) => one.textContent.replace(/,/g, "")),
            ]"""
        )
        assert int(received) == sum(map(int, by_replica))
        page.evaluate("() => new Promise(requestAnimationFrame)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_its_window_and_both_color_schemes(page: Page, stack: Stack, scheme: str, width: int):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    open_live(page, stack)
    stack.publish(1, pad="x" * 400)
    page.locator("tbody tr").first.click()
    expect(page.locator("#detail-text")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    red, green, blue = page.evaluate(
        "getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert (red + green + blue > 3 * 128) == (scheme == "light")


def test_a_token_in_the_address_opens_a_guarded_replica(page: Page, own_stack: Stack):
    own_stack.replica.stop()
    own_stack.replica.settings["FANBENCH_TOKEN"] = "only-for-friends"
    own_stack.replica.start()
    own_stack.generate(rate_hz=20)
    page.goto(own_stack.replica.url)
    expect(page.locator("#state")).to_have_attribute("data-state", "refused")
    expect(page.locator("#state-detail")).to_contain_text("the server answered 401: this replica requires a token")
    open_live(page, own_stack, "?token=only-for-friends")
    expect(page.locator("tbody tr").nth(3)).to_be_visible()
    expect(page.locator("#broker")).to_have_text("Broker redis connected")


def test_it_reconnects_at_once_when_the_network_is_back(page: Page, own_stack: Stack):
    page.clock.install()
    open_live(page, own_stack)
    page.clock.pause_at(page.evaluate("Date.now() + 1000"))
    own_stack.replica.stop()
    expect(page.locator("#state")).to_have_attribute("data-state", "reconnecting")
    own_stack.replica.start()
    page.evaluate("window.dispatchEvent(new Event('online'))")  # the page's own timer is stopped
    expect(page.locator("#state")).to_have_attribute("data-state", "live")
