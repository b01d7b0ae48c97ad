"""The compared servers. Each receives events from outside, and sends them to all its clients."""

from __future__ import annotations

import contextlib
import functools
import getpass
import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.events import SERVER, TOPIC, Events
from benchmarks.machine import Cores, on_core
from brokers.programs.finding import on_path
from brokers.programs.valkey import valkey
from core.errors import FanbenchError
from core.ports import free_port
from core.process import spawn

ROOT = Path(__file__).resolve().parent.parent
SERVERS = Path(__file__).resolve().parent / "servers"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fanbench" / "benchmarks"
NCHAN = [Path(folder) / "ngx_nchan_module.so" for folder in ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules")]
START_S = 15.0
BUILD_S = 120.0
REMEDIES = {
    "nginx": "run `make brokers`",
    "go": "install the system's package golang-go",
    "node": "install the system's package nodejs",
    "npm": "install the system's package npm",
}
BETTER_SSE = "better-sse@0.16.1"


@dataclass(frozen=True, slots=True)
class RivalProcess:
    """A running server; `feed` sends the next event through it."""

    pid: int
    port: int
    feed: Callable[[], None]


def _nothing() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Rival:
    """A server that may run: `obstacle` builds or installs what it needs, and returns the reason if that is impossible."""

    name: str
    what: str
    start: Callable[[Path, Cores], AbstractContextManager[RivalProcess]]
    obstacle: Callable[[], str] = _nothing


def wait_listening(port: int, alive: Callable[[], bool], log: Path) -> None:
    """Return once a process accepts connections on the port.

    Raises:
        FanbenchError: the process ended, or took longer than START_S.
    """
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if not alive() or time.monotonic() > deadline:
                raise FanbenchError(
                    f"{log.stem} did not start; its log ({log}) ends: {log.read_text()[-300:]}"
                ) from None
            time.sleep(0.02)
        else:
            return


@contextlib.contextmanager
def _fed_by_stdin(name: str, command: Sequence[str | Path], folder: Path, cores: Cores) -> Iterator[RivalProcess]:
    """A server that sends each line of its stdin to all clients, and ends with stdin."""
    port, log = free_port(), folder / f"{name}.log"
    with log.open("wb") as output, on_core(cores.measured):
        process = subprocess.Popen([*command, str(port)], stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=ROOT)
    stdin = process.stdin
    assert stdin is not None
    events = Events()

    def feed() -> None:
        stdin.write(events.sent_on() + b"\n")
        stdin.flush()

    try:
        wait_listening(port, lambda: process.poll() is None, log)
        yield RivalProcess(process.pid, port, feed)
    finally:
        process.kill()
        process.wait()
        stdin.close()


@contextlib.contextmanager
def start_fanbench(folder: Path, cores: Cores) -> Iterator[RivalProcess]:
    """Our replica with its defaults; its embedded valkey runs on the readers' core."""
    port, events = free_port(), Events()
    with contextlib.ExitStack() as stack:
        with on_core(cores.others):
            broker = stack.enter_context(valkey.start(folder))
        url = f"redis://{broker.listeners['redis']}"
        env = {name: value for name, value in os.environ.items() if not name.startswith("FANBENCH_")}
        env |= {"FANBENCH_BROKER_URL": url, "FANBENCH_PORT": str(port), "FANBENCH_SERVER": SERVER}
        log = folder / "fanbench.log"
        with on_core(cores.measured):
            child = spawn("fanbench", [sys.executable, "-m", "server"], log, env=env, cwd=ROOT)
        stack.callback(child.stop)
        wait_listening(port, lambda: child.returncode is None, log)
        host, _, broker_port = broker.listeners["redis"].rpartition(":")
        publisher = stack.enter_context(socket.create_connection((host, int(broker_port))))

        def feed() -> None:
            words = (b"PUBLISH", TOPIC.encode(), events.payload())
            publisher.sendall(b"*3\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
            publisher.recv(64)

        yield RivalProcess(child.pid, port, feed)


@contextlib.contextmanager
def start_nchan(folder: Path, cores: Cores) -> Iterator[RivalProcess]:
    """nginx with one worker."""
    port, events = free_port(), Events()
    home = folder / "nchan"
    home.mkdir()
    modules = next(path.parent for path in NCHAN if path.exists())
    user = f"user {getpass.getuser()};" if os.getuid() == 0 else ""
    config = (SERVERS / "nchan.conf").read_text()
    for mark, text in {"@MODULES@": str(modules), "@PORT@": str(port), "@USER@": user}.items():
        config = config.replace(mark, text)
    (home / "nginx.conf").write_text(config)
    log = folder / "nchan.log"
    nginx = on_path("nginx")
    assert nginx is not None
    with on_core(cores.measured):
        child = spawn("nchan", [nginx, "-p", home, "-c", home / "nginx.conf", "-e", "stderr"], log)
    publisher = http.client.HTTPConnection("127.0.0.1", port)
    try:
        wait_listening(port, lambda: child.returncode is None, log)

        def feed() -> None:
            publisher.request("POST", "/publish", events.sent_on())
            answer = publisher.getresponse()
            answer.read()
            if answer.status >= 300:
                raise FanbenchError(f"nchan answered {answer.status} to an event; see {log}")

        yield RivalProcess(child.pid, port, feed)
    finally:
        publisher.close()
        child.stop()


def _python(module: str) -> Callable[[Path, Cores], AbstractContextManager[RivalProcess]]:
    command = [sys.executable, "-m", f"benchmarks.servers.{module}"]
    return lambda folder, cores: _fed_by_stdin(module, command, folder, cores)


start_raw_write = _python("raw_write")
"""The floor, which also serves when the load is measured."""


def start_tls_write(certificate: Path) -> Callable[[Path, Cores], AbstractContextManager[RivalProcess]]:
    """The floor over TLS, with a PEM file of key and certificates."""
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.servers.tls_write", certificate]
    return lambda folder, cores: _fed_by_stdin("tls_write", command, folder, cores)


def start_go(folder: Path, cores: Cores) -> AbstractContextManager[RivalProcess]:
    """Run the program that `_build_go` built."""
    return _fed_by_stdin("go", [CACHE / "goroutines"], folder, cores)


def start_better_sse(folder: Path, cores: Cores) -> AbstractContextManager[RivalProcess]:
    """Run the script with the library that `_install_better_sse` installed."""
    script = CACHE / "node" / "better_sse.mjs"
    shutil.copyfile(SERVERS / "better_sse.mjs", script)
    return _fed_by_stdin("better-sse", ["node", script], folder, cores)


def _lacks(*programs: str) -> str:
    missing = [program for program in programs if on_path(program) is None]
    return f"{' and '.join(missing)} not installed; {REMEDIES[missing[0]]}" if missing else ""


def _run(*command: str | Path, **variables: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=os.environ | variables, timeout=BUILD_S
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end within {BUILD_S:g} s"
    return f"{command[0]}: {done.stderr.strip()[-200:]}" if done.returncode else ""


@functools.cache  # once, even if several parts need it
def _build_go() -> str:
    CACHE.mkdir(parents=True, exist_ok=True)
    build = ("go", "build", "-o", CACHE / "goroutines", SERVERS / "goroutines.go")
    return _lacks("go") or _run(*build, GOCACHE=str(CACHE / "go"), GO111MODULE="off")


@functools.cache
def _install_better_sse() -> str:
    home = CACHE / "node"
    home.mkdir(parents=True, exist_ok=True)
    if (home / "node_modules" / "better-sse").exists():
        return _lacks("node")
    install = ("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", home, BETTER_SSE)
    return _lacks("node", "npm") or _run(*install)


def _find_nchan() -> str:
    found = any(path.exists() for path in NCHAN)
    return _lacks("nginx") or ("" if found else "libnginx-mod-nchan not installed; run `make brokers`")


ALL = (
    Rival("fanbench", "python -m server with its defaults, behind valkey", start_fanbench),
    Rival("raw write", "a loop of os.write, the floor", start_raw_write),
    Rival("nchan", "nginx with nchan, one worker", start_nchan, _find_nchan),
    Rival("go net/http", "a goroutine and a channel per client", start_go, _build_go),
    Rival("better-sse", "Node's http with better-sse", start_better_sse, _install_better_sse),
    Rival("asgi queue", "raw ASGI on uvicorn, a queue and a task per client", _python("asgi_queue")),
    Rival("sse-starlette", "sse-starlette on uvicorn, a queue per client", _python("starlette_sse")),
)
"""Ours first, then the floor, then the neighbours."""


def able(contenders: Sequence[Rival]) -> tuple[list[Rival], dict[str, str]]:
    """The servers that can run here, and for each of the others the reason and a remedy."""
    obstacles = {contender: contender.obstacle() for contender in contenders}
    return (
        [contender for contender, why in obstacles.items() if not why],
        {contender.name: why for contender, why in obstacles.items() if why},
    )


def left_out(obstacles: Mapping[str, str]) -> list[str]:
    """A sentence for each server that cannot run here."""
    return [f"{name} left out: {why}" for name, why in obstacles.items()]


def program_versions() -> dict[str, str]:
    """The versions of the other servers' programs, as they print them."""
    found = {}
    for command in (("nginx", "-v"), ("go", "version"), ("node", "--version")):
        program = on_path(command[0])
        if program is not None:
            done = subprocess.run([program, command[1]], capture_output=True, text=True, check=False, timeout=START_S)
            found[command[0]] = (done.stdout or done.stderr).strip()
    return found
