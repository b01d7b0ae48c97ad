"""Runs the Locust suite as a user would, with reference servers; returns what it wrote to `--out`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from core.ports import free_port
from core.process import OWN_PYTHON
from tests.elsewhere import put_decoys
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
REFERENCE = Path(__file__).with_name("reference_server.py")
RUN_DEADLINE_S = 40.0
DELIVERY_DEADLINE_S = 3.0
AT_ONCE = 9
"""More would leave the one process of the reference servers too little of a busy machine to keep its schedule."""


@contextlib.contextmanager
def process(
    *command: str | Path, log: Path, env: dict[str, str] | None = None, cwd: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """A child with its output in `log`, ended with the block."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | (env or {}),
            cwd=cwd,
        )
        try:
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


class References:
    """Running reference servers, one for each script."""

    def __init__(self, child: subprocess.Popen[bytes], log: Path) -> None:
        self._child = child
        self._log = log
        ports = wait_until(lambda: self._line("ports"), "the reference servers listen")
        self.urls = [f"http://127.0.0.1:{port}" for port in ports]

    def _line(self, first: str) -> list[int] | None:
        text = self._log.read_text()
        assert self._child.poll() is None, text
        found = [
            line.split()[1:] for line in text.splitlines(keepends=True) if line.startswith(first) and line[-1] == "\n"
        ]
        return [int(word) for word in found[0]] if found else None

    def sent(self) -> list[int] | None:
        """The number of deliveries of each server, once all have finished."""
        return self._line("sent")


@contextlib.contextmanager
def references(folder: Path, scripts: list[dict[str, Any]]) -> Iterator[References]:
    """Reference servers that follow the scripts."""
    log = folder / "reference.log"
    with process(sys.executable, REFERENCE, json.dumps(scripts), log=log) as child:
        yield References(child, log)


def read_json(path: Path) -> dict[str, Any]:
    """The file's content; {} while it does not exist."""
    return json.loads(path.read_text()) if path.exists() else {}


def locust_options(how: str, main: list[str]) -> Iterator[list[str]]:
    """The options of each Locust to start; the last one ends the run."""
    port = str(free_port())
    if how == "processes":
        main += ["--processes", "2", "--master-bind-port", port, "--master-port", port]
    if how == "workers":
        main += ["--master", "--expect-workers", "2", "--master-bind-port", port]
        yield from [["--worker", "--master-port", port]] * 2
    yield main


def wait_for_status(folder: Path, name: str, least: int) -> None:
    """Wait until the status file in the folder counts this many."""
    status = folder / "status.json"
    wait_until(lambda: read_json(status).get(name, 0) >= least, f"{least} {name}", RUN_DEADLINE_S)


def measure(
    *scripts: dict[str, Any],
    users: int,
    how: str = "single",
    meddle: Callable[[Path], None] = lambda _folder: None,
) -> dict[str, Any]:
    """Run the Locust suite against reference servers from their first event until the last one is delivered.

    `how` is single, processes (Locust's --processes 2) or workers (a master and two workers, each started by hand).
    `meddle` is called once all run, with the folder of the files `status.json` and `control`.
    Returns what Locust wrote to `--out`, plus `sent` and Locust's `log`.
    """
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        servers = stack.enter_context(references(folder, list(scripts)))
        out, status, log = folder / "out.json", folder / "status.json", folder / "locust.log"
        main = [
            "--headless",
            "-u",
            str(users),
            "-r",
            str(users),
            "--replicas",
            ",".join(servers.urls),
            "--out",
            out.name,
        ]
        locust = [*OWN_PYTHON, "-m", "load", "-f", ROOT / "load" / "sse.py", "--skip-log-setup"]
        # Relative to the master's directory: a worker runs elsewhere, but follows the same file.
        env = {"FANBENCH_LOAD_STATUS": status.name, "FANBENCH_LOAD_CONTROL": "control"}
        for at, options in enumerate(locust_options(how, main)):
            worker = "--worker" in options
            cwd = put_decoys(folder / f"worker-{at}" if worker else folder)
            to = cwd / "log" if worker else log
            child = stack.enter_context(process(*locust, *options, log=to, env={} if worker else env, cwd=cwd))

        def deliveries() -> int:
            assert child.poll() is None, log.read_text()
            return int(read_json(status).get("deliveries", 0))

        meddle(folder)
        sent = sum(_await_end(servers, deliveries))
        child.send_signal(signal.SIGTERM)
        code, result = child.wait(20), read_json(out)
        assert code == (1 if result["problems"] else 0), log.read_text()
        return result | {"sent": sent, "log": log.read_text()}


class Job(NamedTuple):
    """Cases, each a list of scripts, to be measured by the load/ and core/ of a source tree."""

    tree: Path
    cases: dict[str, list[dict[str, Any]]]


def measure_side_by_side(jobs: dict[str, Job]) -> dict[str, dict[str, dict[str, Any]]]:
    """Run each case in a separate session without Locust, with one process for each job, `AT_ONCE` at a time.

    Use it for counts: with so many at once, no latency is small. Returns for each job and case the content of `--out`,
    plus `sent`.
    """
    left, results = list(jobs.items()), {}
    while left:
        results |= _measure_at_once(dict(left[:AT_ONCE]))
        left = left[AT_ONCE:]
    return results


def _measure_at_once(jobs: dict[str, Job]) -> dict[str, dict[str, dict[str, Any]]]:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        servers = stack.enter_context(
            references(folder, [one for job in jobs.values() for scripts in job.cases.values() for one in scripts])
        )
        urls = iter(servers.urls)
        orders = []
        for at, job in enumerate(jobs.values()):
            plan = {
                case: {"urls": [next(urls) for _ in scripts], "clients": sum(one.get("clients", 1) for one in scripts)}
                for case, scripts in job.cases.items()
            }
            files = {"status": str(folder / f"{at}.status"), "out": str(folder / f"{at}.out")}
            orders.append({"tree": str(job.tree), "plan": plan} | files)
        command, log = [sys.executable, Path(__file__).with_name("sessions.py"), json.dumps(orders)], folder / "log"
        child = stack.enter_context(process(*command, log=log))

        def deliveries() -> int:
            assert child.poll() is None, log.read_text()
            return sum(sum(read_json(Path(order["status"])).values()) for order in orders)

        sent = iter(_await_end(servers, deliveries))
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0, log.read_text()
        results: dict[str, dict[str, dict[str, Any]]] = {}
        for (key, job), order in zip(jobs.items(), orders, strict=True):
            found = read_json(Path(order["out"]))
            counts = {case: sum(next(sent) for _ in scripts) for case, scripts in job.cases.items()}
            results[key] = {case: found[case] | {"sent": counts[case]} for case in counts}
        return results


def _await_end(servers: References, deliveries: Callable[[], int]) -> list[int]:
    """Wait until everything is sent and, within a deadline, delivered; return what each server sent."""

    def sent() -> list[int] | None:
        deliveries()
        return servers.sent()

    counts = wait_until(sent, "the reference servers have sent everything", RUN_DEADLINE_S)
    assert counts is not None
    with contextlib.suppress(AssertionError):  # fewer are a result too, which the caller judges
        wait_until(lambda: deliveries() >= sum(counts), f"{sum(counts)} deliveries", DELIVERY_DEADLINE_S)
    return counts
