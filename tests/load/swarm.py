"""Real Locust processes: one process, or a master and workers. Each has a log and ends with the block."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from core.ports import free_port
from tests.truth.measuring import ROOT
from tests.waiting import wait_until

START_S = 60.0  # for Locust on a very busy machine


class Locust:
    """One process, started as on the command line."""

    def __init__(self, child, log):
        self.child = child
        self.log = log

    @property
    def text(self):
        return self.log.read_text(errors="replace")

    def wait(self, timeout_s=60.0):
        """Return its exit code; fail with its output if it does not end."""
        try:
            return self.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end within {timeout_s} s: {self.text}") from None

    def forks(self):
        """Its own workers from `--processes`."""
        return psutil.Process(self.child.pid).children()

    def end(self, sign=signal.SIGTERM):
        self.child.send_signal(sign)


class Swarm:
    """Everything that a test started."""

    def __init__(self, folder, url, port=None, topic="events"):
        self.folder = folder
        self.url = url
        self.topic = topic
        self.port = port or free_port()
        self.out = folder / "out.json"
        self.started = []

    def locust(self, *options, files=True, headless=True, open_files=None, env=None):
        """One Locust, with `--out` and `--status` if it writes files."""
        command = [sys.executable, "-m", "load", "-f", ROOT / "load" / "sse.py", *["--headless"] * headless]
        command += ["--host", self.url, "--topic", self.topic]
        if files:
            command += ["--out", self.out, "--status", self.folder / "status.json"]
        log = self.folder / f"locust-{len(self.started)}.log"

        def limit():
            if open_files is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))

        clean = {name: value for name, value in os.environ.items() if not name.startswith(("FANBENCH_", "LOCUST_"))}
        with log.open("wb") as output:
            child = subprocess.Popen(
                [str(part) for part in (*command, *options)],
                stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                cwd=ROOT, env=clean | (env or {}), preexec_fn=limit, start_new_session=True,
            )  # fmt: skip
        self.started.append(Locust(child, log))
        return self.started[-1]

    def master(self, users, *options, **more):
        ports = ["--master-bind-port", str(self.port), "--master-bind-host", "127.0.0.1"]
        return self.locust("--master", *ports, "-u", str(users), "-r", "1000", *options, **more)

    def worker(self, *options, **more):
        return self.locust("--worker", "--master-port", str(self.port), *options, files=False, **more)

    def processes(self, count, users, *options, **more):
        ports = ["--master-bind-port", str(self.port), "--master-port", str(self.port)]
        return self.locust("--processes", str(count), *ports, "-u", str(users), "-r", "1000", *options, **more)

    def status(self):
        path = self.folder / "status.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def wait_status(self, name, count, timeout_s=START_S):
        """Wait until the status file has exactly this number, or at least this many deliveries."""

        def there():
            told = self.status().get(name, -1)
            return told >= count if name == "deliveries" else told == count

        try:
            wait_until(there, f"{count} {name}", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.status()}; {self.started[0].text[-2000:]}") from None

    def result(self):
        return json.loads(self.out.read_text())

    def close(self):
        for one in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.child.pid, signal.SIGKILL)
            one.child.wait()


@contextlib.contextmanager
def swarm(folder: Path, url: str, port=None, topic="events"):
    """A swarm with clients of that URL."""
    made = Swarm(folder, url, port, topic)
    try:
        yield made
    finally:
        made.close()
