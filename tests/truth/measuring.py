"""Runs the Locust suite, as a person would, against reference servers; gives back what it wrote to `--out`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.ports import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
REFERENCE = Path(__file__).with_name("reference_server.py")
RUN_DEADLINE_S = 40.0


@contextlib.contextmanager
def process(*command: str | Path, log: Path, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A child with its output in `log`, ended with the block."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | (env or {}),
            cwd=ROOT,
        )
        try:
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


@contextlib.contextmanager
def reference(folder: Path, **script: Any) -> Iterator[str]:
    """A reference server that follows the script; its URL."""
    log = folder / f"reference-{script.get('server', 'reference')}.log"
    with process(sys.executable, REFERENCE, json.dumps(script), log=log) as child:

        def port() -> str:
            assert child.poll() is None, log.read_text()
            return log.read_text().partition("\n")[0] if "\n" in log.read_text() else ""

        yield f"http://127.0.0.1:{wait_until(port, 'the reference server listens')}"


def read_json(path: Path) -> dict[str, Any]:
    """What the file holds; {} while it is not there."""
    return json.loads(path.read_text()) if path.exists() else {}


def measure(
    *scripts: dict[str, Any],
    users: int,
    deliveries: int,
    how: str = "single",
    options: tuple[str, ...] = (),
    tree: Path = ROOT,
    timeout_s: float = RUN_DEADLINE_S,
) -> dict[str, Any]:
    """Measure reference servers with so many clients; stop once so many measured deliveries are counted.

    `how` is single, processes (Locust's --processes 2) or workers (a master and two workers, each started by hand).
    `tree` is where load/ and core/ are taken from.
    """
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        urls = [stack.enter_context(reference(folder, **script)) for script in scripts]
        out, status = folder / "out.json", folder / "status.json"
        env = {"PYTHONPATH": str(tree), "FANBENCH_LOAD_STATUS": str(status)}
        locust = [Path(sys.executable).with_name("locust"), "-f", tree / "load" / "sse.py", "--skip-log-setup"]
        main = [
            "--headless",
            "-u",
            str(users),
            "-r",
            str(users),
            "--replicas",
            ",".join(urls),
            "--out",
            str(out),
            *options,
        ]
        port = ["--master-port", str(free_port())]
        if how == "processes":
            main += ["--processes", "2", "--master-bind-port", port[1], *port]
        if how == "workers":
            main += ["--master", "--expect-workers", "2", "--master-bind-port", port[1]]
            for at in range(2):
                stack.enter_context(process(*locust, "--worker", *port, log=folder / f"worker-{at}.log", env=env))
        log = folder / "locust.log"
        child = stack.enter_context(process(*locust, *main, log=log, env=env))

        def enough() -> bool:
            assert child.poll() is None, log.read_text()
            return read_json(status).get("deliveries", 0) >= deliveries

        with contextlib.suppress(AssertionError):  # fewer are a result, too: the caller judges it
            wait_until(enough, f"{deliveries} deliveries", timeout_s)
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0, log.read_text()
        return read_json(out) | {"log": log.read_text()}
