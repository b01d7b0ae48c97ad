"""Starts the programs of a run as child processes (replicas, generator and Locust), configured by environment."""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from importlib.resources import files
from pathlib import Path

from core.contracts.codec import decode, encode, read
from core.contracts.load_orders import LoadOrder
from core.contracts.load_result import LoadResult
from core.contracts.load_status import LoadStatus
from core.contracts.replica_stats import ReplicaStats
from core.contracts.session_rules import SessionRules
from core.errors import TransientError
from core.forked import ForkServer
from core.ports import free_port, free_ports
from core.process import OWN_PYTHON, Child, spawn
from core.scenario import Scenario
from core.topics import expand_topics
from harness.runner.host import load_processes
from harness.runner.polling import poll
from harness.runner.remedies import lower

READY_TIMEOUT_S = 30.0
_STAMPS_BYTES = 1024
LINGER_S = 30.0
"""How long a replica keeps a session's topic after its last client: its own default."""
_SPARE_CLIENTS = 100
"""Room for clients that reconnect before the end of their old connection is noticed."""
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Ignores http_proxy, because requests go to this machine's loopback."""
OWN_SERVER = ("-m", "server")
_programs = ForkServer("server.__main__", "server.runner", "generator.__main__")


def preload() -> None:
    """Start to import the modules of replicas and generator while the broker starts."""
    _programs.start()


class Children:
    """All child processes of a run; leaving the `with` block stops them together."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def add(self, child: Child) -> Child:
        """Take ownership of a child."""
        self._children.append(child)
        return child

    def stop(self, grace_s: float = 2.5) -> None:
        """SIGTERM to all at once, wait for all together, then SIGKILL."""
        running = [child for child in self._children if child.returncode is None]
        for child in running:
            child.send_signal(signal.SIGCONT)
            child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        for child in running:
            child.wait(max(0.0, deadline - time.monotonic()))
        for child in self._children:
            child.kill()
        self._children.clear()


def child_env(settings: Mapping[str, object]) -> dict[str, str]:
    """This process's environment with its FANBENCH_* variables replaced by the given settings."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FANBENCH_")}
    env |= {f"FANBENCH_{name.upper()}": str(value) for name, value in settings.items()}
    return env | {"PYTHONUNBUFFERED": "1"}


def get(url: str, timeout_s: float = 5.0) -> bytes | None:
    """A URL's response; None while nothing answers there or it returns 503."""
    try:
        with _DIRECT.open(url, timeout=timeout_s) as response:
            body: bytes = response.read()
            return body
    except (
        urllib.error.URLError,
        ConnectionError,
        TimeoutError,
        HTTPException,
    ):  # the last one: it ended while answering
        return None


@dataclass(slots=True)
class ReplicaProcess:
    """An SSE server process, which a fault may end and start again on its port."""

    name: str
    port: int
    settings: Mapping[str, object]
    folder: Path
    child: Child
    program: Sequence[str] = OWN_SERVER
    """Its Python command line."""
    down: bool = False
    """Whether a fault has ended it and not restarted it yet."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def report(self) -> Path:
        """The path of its companion generator's report, if it has one."""
        return self.folder / f"{self.name}.report.json"

    def stats(self) -> ReplicaStats | None:
        """Its `/stats`; None if it does not answer.

        Raises:
            DocumentError: the answer has another version.
        """
        body = get(f"{self.url}/stats")
        return None if body is None else decode(ReplicaStats, body, f"{self.url}/stats")

    def start_again(self) -> None:
        """Start it with the same settings, without forking, because its absence is measured. It is not ready yet."""
        log, env = _log_and_env(self.name, self.port, self.settings, self.folder)
        self.child = spawn(self.name, [*OWN_PYTHON, *self.program], log, env=env)
        self.down = False


def _log_and_env(name: str, port: int, settings: Mapping[str, object], folder: Path) -> tuple[Path, dict[str, str]]:
    report = folder / f"{name}.report.json"
    env = child_env({"host": "127.0.0.1", "port": port, "server": name, "report": report, **settings})
    return folder / f"{name}.log", env


def start_replica(
    name: str, port: int, settings: Mapping[str, object], folder: Path, program: Sequence[str] = OWN_SERVER
) -> ReplicaProcess:
    """Start one replica on 127.0.0.1; it is not ready yet."""
    log, env = _log_and_env(name, port, settings, folder)
    if program == OWN_SERVER:
        child = _programs.spawn(name, "server", log, env)
    else:
        child = spawn(name, [*OWN_PYTHON, *program], log, env=env)
    return ReplicaProcess(name, port, settings, folder, child, program)


def start_replicas(
    settings: Sequence[Mapping[str, object]], folder: Path, children: Children, program: Sequence[str] = OWN_SERVER
) -> list[ReplicaProcess]:
    """Start one replica for each of the settings, on free ports."""
    ports = free_ports(len(settings))
    replicas = [
        start_replica(f"replica-{i}", port, own, folder, program)
        for i, (port, own) in enumerate(zip(ports, settings, strict=True), start=1)
    ]
    for replica in replicas:
        children.add(replica.child)
    return replicas


def wait_ready(replicas: Sequence[ReplicaProcess]) -> None:
    """Wait until each replica's broker subscription is confirmed."""
    for replica in replicas:
        ready = partial(get, f"{replica.url}/readyz")
        poll(f"{replica.name} ready", READY_TIMEOUT_S, ready, [replica.child])


def replica_limits(scenario: Scenario) -> dict[str, object]:
    """A replica's limits if the scenario exceeds its own: one replica may get every client, and each client the largest event."""
    event_bytes = scenario.payload_bytes + _STAMPS_BYTES
    rules = scenario.sessions
    clients, topics = scenario.clients, len(expand_topics(scenario.topics))
    if rules:  # these are averages, and a replica may have every session
        clients, topics = 2 * clients, round(2 * rules.arrivals_hz * (rules.lifetime_s[1] + LINGER_S))
    return (history_limits(rules) if rules else {}) | {
        "max_clients": max(16_384, clients + _SPARE_CLIENTS),
        "max_topics": max(20_000, topics + _SPARE_CLIENTS),
        "max_event_bytes": max(256 * 1024, event_bytes),
        "client_buffer_bytes": max(1024 * 1024, 4 * event_bytes),
    }


def history_limits(rules: SessionRules) -> dict[str, object]:
    """Settings to replay a whole session to a late client; no topic exists at the start."""
    longest_s, most_hz = min(rules.lifetime_s[1], rules.warmup_s + rules.duration_s), rules.rate_hz[1]
    return {
        "topics": "",
        "history_events": max(2_000, 2 * round(longest_s * most_hz)),
        "history_age_s": max(120.0, 2 * longest_s),
        "topic_linger_s": LINGER_S,
    }


def generator_settings(scenario: Scenario, rules: Path | None = None) -> dict[str, object]:
    """The generator's settings for the scenario, on hold; `rules` is the file with the session rules."""
    return ({"sessions": rules} if rules else {}) | {
        "stamp": scenario.stamp,
        "rate_hz": scenario.rate_hz,
        "payload_bytes": scenario.payload_bytes,
        "topics": scenario.topics,
        "topic_order": scenario.topic_order,
        "schedule": scenario.schedule,
        "burst_events": scenario.burst_events,
        "seed": scenario.seed,
        "warmup_s": scenario.warmup_s,
        # With a fault, the end depends on its repair, so the generator gets an order.
        "duration_s": 0 if scenario.faults else scenario.duration_s,
        "hold": True,
        "processes": scenario.generator_processes,
    }


def start_generator(settings: Mapping[str, object], folder: Path) -> tuple[Child, Path]:
    """Start the generator; return it and the path of its report."""
    report = folder / "generator.report.json"
    env = child_env({"report": report, **settings})
    return _programs.spawn("generator", "generator", folder / "generator.log", env), report


@dataclass(frozen=True, slots=True)
class Load:
    """A running Locust."""

    child: Child
    out: Path
    status_file: Path
    control: Path
    remedy: str = "lower --clients or --rate"
    """What to do if it is beyond its limit."""

    def status(self) -> LoadStatus:
        """Its latest status; all counts are 0 before the first.

        Raises:
            DocumentError: it has another version.
        """
        return read(LoadStatus, self.status_file) or LoadStatus()

    def tell(self, order: LoadOrder) -> None:
        """Append an order to its control file."""
        with self.control.open("a", encoding="utf-8") as file:
            file.write(encode(order) + "\n")

    def finish(self, timeout_s: float = 15.0) -> LoadResult:
        """Stop it and read its result.

        Raises:
            FanbenchError: it did not end, or left no result.
            DocumentError: its result has another version.
        """
        self.child.send_signal(signal.SIGTERM)
        if not self.child.wait(timeout_s):
            raise TransientError(
                f"Locust did not end within {timeout_s:g} s of SIGTERM; it is beyond its limit; {self.remedy}; {self.child.last_words()}"
            )
        result = read(LoadResult, self.out)
        if result is None:
            words = f"Locust left no result (exit code {self.child.returncode})"
            raise self.child.failure(f"{words}; {self.child.last_words()}")
        return result


def locustfile_path(name: str) -> Path:
    """The folder of `sse.py` and `ws.py`, the package `load`."""
    return Path(str(files("load"))) / name


def start_load(
    scenario: Scenario,
    urls: Sequence[str],
    folder: Path,
    locustfile: str = "sse.py",
    extra: Mapping[str, object] = {},
    rules: Path | None = None,
    master: Sequence[str] = (),
) -> Load:
    """Start Locust, headless, with one user for each client of the scenario.

    `rules` is the file with the session rules. `master` has Locust's options for a master whose workers start
    elsewhere; without it, Locust starts its own processes.
    """
    out, status, control = folder / "load.json", folder / "load.status.json", folder / "load.control.jsonl"
    control.touch()
    env = child_env(
        {
            "load_replicas": ",".join(urls),
            "load_topic": scenario.topics,
            "load_topic_skew": scenario.topic_skew,
            "load_stamp": scenario.stamp,
            "load_out": out,
            "load_status": status,
            "load_control": control,
            "load_wait": READY_TIMEOUT_S,
            "load_drain": 0,  # fanbench itself waits for the expected events
            **({"load_sessions": rules} if rules else {}),
            **extra,
        }
    )
    command: list[str | Path] = [*OWN_PYTHON, "-m", "load", "-f", locustfile_path(locustfile), "--headless"]
    command += ["-u", str(scenario.clients), "-r", f"{scenario.connect_hz:g}", "--host", urls[0], "--skip-log-setup"]
    command += master
    processes = 1 if master else load_processes(scenario)
    if processes > 1:
        port = str(free_port())
        command += ["--processes", str(processes), "--master-bind-host", "127.0.0.1", "--master-bind-port", port]
        command += ["--master-host", "127.0.0.1", "--master-port", port]
    locust = spawn("Locust", command, folder / "locust.log", env=env, cwd=folder)
    return Load(locust, out, status, control, lower(scenario, "--clients or --rate"))
