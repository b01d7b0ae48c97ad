"""Write the pictures of docs/deploy.md: `python scripts/screenshots.py http://localhost docs/images` with the demo up.

Halfway through each minute the replica that serves the page is stopped, so that the picture shows the page come back
through another one. ui.png shows the light color scheme, ui-dark.png the dark one.
"""

import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

HALF_A_MINUTE_MS = 31_000
SIZE = {"width": 1280, "height": 840}


def take(browser: Browser, url: str, scheme: str, picture: Path) -> None:
    """Watch the stream for a minute, with its replica stopped in the middle, then choose an event."""
    page = browser.new_context(color_scheme=scheme, viewport=SIZE).new_page()
    page.goto(url)
    page.wait_for_timeout(HALF_A_MINUTE_MS)
    container = page.locator("#replicas .name").first.inner_text()
    subprocess.run(["docker", "stop", container], check=True, capture_output=True)
    page.wait_for_timeout(HALF_A_MINUTE_MS)
    page.get_by_role("row").nth(4).click()
    page.mouse.move(0, 0)
    page.screenshot(path=picture)
    page.close()
    subprocess.run(["docker", "start", container], check=True, capture_output=True)


def main(url: str, folder: Path) -> None:
    """Take both pictures, one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        path = subprocess.run(
            ["scripts/browser.sh", "where"], stdout=subprocess.PIPE, text=True, check=True
        ).stdout.strip()
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        take(browser, url, "light", folder / "ui.png")
        take(browser, url, "dark", folder / "ui-dark.png")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
