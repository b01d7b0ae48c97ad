"""Take the pictures of docs/deploy.md: `python scripts/screenshots.py [docs/images]`. It starts `fanbench demo redis`.

Halfway through each minute it ends the replica that serves the page, so that the picture shows the page resume at
another one. ui.png shows the light color scheme, ui-dark.png the dark one. It needs redis-server, nginx and Chromium
(`make brokers browser`).
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from playwright.sync_api import Browser, sync_playwright

from core.ports import free_port

HALF_A_MINUTE_MS = 31_000
SIZE = {"width": 1280, "height": 840}
FANBENCH = Path(sys.executable).with_name("fanbench")


@contextmanager
def demo() -> Iterator[tuple[str, list[str]]]:
    """Run the demo; yield the page's address, and those of the replicas."""
    command = [FANBENCH, "demo", "redis", "--replicas", "3", "--rate", "20", "--port", str(free_port())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        printed = ""
        while "logs " not in printed:
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"the demo ended with exit code {process.wait()}")
            printed += line
        page, replicas = (
            re.findall(rf"^  {word} +(http.*)$", printed, re.MULTILINE)[0] for word in ("open", "replicas")
        )
        yield page, replicas.split()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def end_replica(name: str, replicas: list[str]) -> None:
    """End the replica with that name, as a deployment would."""
    for url in replicas:
        with urlopen(f"{url}/stats") as answer:  # noqa: S310 - the demo printed this http:// address
            stats = json.load(answer)
        if stats["server"] == name:
            os.kill(stats["pid"], signal.SIGTERM)
            return
    raise SystemExit(f"no replica is named {name}; the page shows another demo")


def take(browser: Browser, scheme: str, picture: Path) -> None:
    """Watch the stream for a minute, end its replica in the middle, then select an event."""
    with demo() as (url, replicas):
        page = browser.new_context(color_scheme=scheme, viewport=SIZE).new_page()
        page.goto(url)
        page.wait_for_timeout(HALF_A_MINUTE_MS)
        end_replica(page.locator("#replicas .name").first.inner_text(), replicas)
        page.wait_for_timeout(HALF_A_MINUTE_MS)
        page.get_by_role("row").nth(4).click()
        page.mouse.move(0, 0)
        page.screenshot(path=picture)
        page.close()


def main(folder: Path) -> None:
    """Take both pictures in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        path = subprocess.run(
            ["scripts/browser.sh", "where"], stdout=subprocess.PIPE, text=True, check=True
        ).stdout.strip()
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        take(browser, "light", folder / "ui.png")
        take(browser, "dark", folder / "ui-dark.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
