"""Take the pictures of docs/how-to/own-sse-service.md: `python scripts/service_pictures.py docs/images`, with nginx and a browser here.

The page's own commands run, with Locust's web page in place of `--headless`; the pictures show its tab `fanbench`, and the summaries of the same
tests are printed.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from shutil import copytree

import trustme
from playwright.sync_api import Browser, expect, sync_playwright

from core.ports import free_port
from core.process import Child, spawn
from harness.runner.proxy import find_nginx

ROOT = Path(__file__).resolve().parent.parent
BEHIND_TLS = [
    "-u",
    "50",
    "-r",
    "50",
    "-t",
    "15s",
    "--host",
    "https://localhost:8443",
    "--path",
    "/events/{topic}",
    "--ca-file",
    "server.pem",
    "--dialect",
    "shop.toml",
]
ANSWERS = [
    "-u",
    "20",
    "-r",
    "20",
    "-t",
    "20s",
    "--host",
    "http://127.0.0.1:8002",
    "--path",
    "/v1/chat/completions",
    "--method",
    "POST",
    "--dialect",
    "openai",
    "--pause",
    "0.5",
]
ANSWERS += ["--body", '{"stream": true, "messages": [{"role": "user", "content": "question of {user}"}]}']
SIZE = {"width": 1280, "height": 880}
MOVES_MS = 1_500
"""How long the mark below the chosen tab moves."""
TEST_S = 90.0


def started(stack: ExitStack, folder: Path, name: str, *command: str | Path) -> Child:
    """Run a command in that folder until the stack is closed."""
    child = spawn(name, command, folder / f"{name}.log", cwd=folder)
    stack.callback(child.stop)
    return child


def take(stack: ExitStack, browser: Browser, folder: Path, options: Sequence[str], picture: Path) -> None:
    """Measure with those options, and take a picture of the result on Locust's page."""
    port = free_port()
    web = ["--web-host", "127.0.0.1", "--web-port", str(port), "--autostart"]
    locust = started(stack, folder, picture.stem, sys.executable, "-m", "load", *options, *web)
    page = browser.new_context(viewport=SIZE).new_page()
    deadline = time.monotonic() + TEST_S
    while "deliveries to" not in (said := locust.log.read_text()) and time.monotonic() < deadline:
        locust.require_alive()
        time.sleep(0.5)
    page.goto(f"http://127.0.0.1:{port}")
    page.get_by_role("tab", name="fanbench").click()
    expect(page.get_by_role("cell", name="gap between events")).to_be_visible()
    page.mouse.move(0, 0)
    page.wait_for_timeout(MOVES_MS)
    page.screenshot(path=picture)
    page.close()
    print(said[said.index("test of") :])


def main(pictures: Path) -> None:
    """Both halves of the page."""
    pictures.mkdir(parents=True, exist_ok=True)
    browser_path = subprocess.run(
        [ROOT / "scripts" / "browser.sh", "where"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack, sync_playwright() as playwright:
        folder = Path(name) / "own-service"
        copytree(ROOT / "examples" / "own-service", folder)
        certificate = trustme.CA()
        certificate.cert_pem.write_to_path(folder / "ca.pem")
        issued = certificate.issue_cert("localhost")
        issued.private_key_pem.write_to_path(folder / "key.pem")
        issued.cert_chain_pems[0].write_to_path(folder / "server.pem")
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        started(stack, folder, "shop", sys.executable, "shop.py")
        nginx = find_nginx()
        assert nginx is not None, "nginx is not installed; run `make brokers`"
        started(
            stack,
            folder,
            "nginx",
            nginx,
            "-p",
            folder,
            "-c",
            folder / "nginx.conf",
            "-e",
            "stderr",
            "-g",
            "daemon off;",
        )
        options = [word.replace("server.pem", "ca.pem") for word in BEHIND_TLS]
        take(stack, browser, folder, options, pictures / "own-service.png")
        started(stack, folder, "tokens", sys.executable, "tokens.py")
        take(stack, browser, folder, ANSWERS, pictures / "streamed-answers.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
