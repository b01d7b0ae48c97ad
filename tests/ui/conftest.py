import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from core.stamp import new_stream
from tests.missing import missing
from tests.ui.stack import Stack, start_stack

FIND_BROWSER = Path(__file__).parents[2] / "scripts" / "browser.sh"
PATIENCE_MS = 15_000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser(integration: None) -> Iterator[Browser]:
    """A headless Chromium; with CI=true a missing one fails, elsewhere its tests are skipped and counted.

    Its scope is not the session: while Playwright is open, its event loop runs, and no asynchronous test can.
    """
    path = subprocess.run([FIND_BROWSER, "where"], stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    if not path:
        missing("no Chromium on the PATH; scripts/browser.sh installs it")
    with sync_playwright() as playwright:
        # A container's root has no user namespace for Chromium's sandbox.
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new page of 1280 x 800; an error in its scripts, or a request to another host, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    page.on("request", lambda request: None if _is_local(request.url) else wrong.append(f"request to {request.url}"))
    yield page
    context.close()
    assert wrong == []


def _is_local(url: str) -> bool:
    return urlsplit(url).scheme == "data" or urlsplit(url).hostname == "127.0.0.1"


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A broker and its replica, which run throughout a module."""
    running = start_stack(tmp_path_factory.mktemp("stack"))
    yield running
    running.close()


@pytest.fixture
def stack(standing: Stack) -> Iterator[Stack]:
    """`standing` with the test's own stream, for a test that leaves broker and replica unchanged."""
    standing.stream = new_stream()
    yield standing
    standing.stop_generating()


@pytest.fixture
def own_stack(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A broker and a replica that a test may end; the parameter, if there is one, is the broker URL's scheme."""
    running = start_stack(tmp_path, getattr(request, "param", "redis"))
    yield running
    running.close()
