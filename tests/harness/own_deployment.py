"""A user's own deployment: replicas behind nginx, load workers that restart, and a command that restarts the replicas."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from core.contracts.codec import decode
from core.contracts.replica_stats import ReplicaStats
from core.ports import free_ports
from core.process import OWN_PYTHON
from harness.runner.processes import Children
from harness.runner.proxy import find_nginx, start_proxy
from tests.missing import missing

ROOT = Path(__file__).parents[2]
AGAIN = "while :; do {command}; sleep 0.2; done"
"""What `restart: always` does."""


@dataclass(frozen=True, slots=True)
class Host:
    """Where a program runs: an address, and the prefix of its command."""

    address: str = "127.0.0.1"
    enter: tuple[str, ...] = ()


HERE = Host()
COUNTS = "counts.jsonl"
"""The file with the counts of replicas that were ended, one on a line."""


class OwnDeployment:
    """Two replicas, nginx and load workers, on this machine or on separate hosts; fanbench starts none of it."""

    def __init__(
        self,
        folder: Path,
        replicas: Sequence[Host] = (HERE, HERE),
        workers: Sequence[Host] = (HERE, HERE),
        master: str = "127.0.0.1",
        proxy: Host = HERE,
    ) -> None:
        self.folder, self.proxy = folder, proxy
        self.replicas, self.workers, self.master = replicas, workers, master
        self.ports = free_ports(2)
        self.proxy_port, self.master_port = free_ports(2)
        self._children = Children()
        self._supervisors: list[subprocess.Popen[bytes]] = []
        (self.join_port,) = free_ports(1)
        self.generators: list[subprocess.Popen[bytes]] = []
        self.join_environment = {"FANBENCH_JOIN_SECRET": "a-m4rked-s3cret-of-32-characters"}
        """What fanbench and the generators of `start_generators` need to know each other."""

    @property
    def urls(self) -> list[str]:
        """Each replica's address."""
        return [f"http://{host.address}:{port}" for host, port in zip(self.replicas, self.ports, strict=True)]

    @property
    def options(self) -> list[str]:
        """The options for fanbench."""
        replicas = ",".join(self.urls)
        return [
            "--replicas-at", replicas, "--clients-at", f"http://{self.proxy.address}:{self.proxy_port}",
            "--workers-expected", str(len(self.workers)), "--master-at", f"{self.master}:{self.master_port}", "--run-name", "mine",
            "--deploy", self.deploy,
        ]  # fmt: skip

    @property
    def generator_options(self) -> list[str]:
        """The options for fanbench if the generators of `start_generators` publish."""
        return [
            "--generators-expected",
            str(len(self.generators)),
            "--generators-at",
            f"{self.master}:{self.join_port}",
        ]

    @property
    def deploy(self) -> str:
        """The command that restarts the replicas with the settings in its environment."""
        places = [[port, host.address, *host.enter] for host, port in zip(self.replicas, self.ports, strict=True)]
        words = [sys.executable, "-m", "tests.harness.own_deployment", self.folder, json.dumps(places)]
        return f"cd {shlex.quote(str(ROOT))} && {shlex.join(map(str, words))}"

    def restart(self, settings: dict[str, str]) -> None:
        """Start the replicas by hand; return once they answer."""
        subprocess.run(["sh", "-c", self.deploy], env=os.environ | settings, check=True, timeout=60)

    def start_workers(self) -> None:
        """Start load workers, each of which restarts whenever it ends."""
        words = [*OWN_PYTHON, "-m", "load", "-f", ROOT / "load" / "sse.py", "--worker", "--run-name", "mine"]
        words += ["--master-host", self.master, "--master-port", str(self.master_port)]
        command = AGAIN.format(command=shlex.join(map(str, words)))
        env = {name: value for name, value in os.environ.items() if not name.startswith(("FANBENCH_", "LOCUST_"))}
        for number, host in enumerate(self.workers, start=1):
            with (self.folder / f"worker-{number}.log").open("ab") as log:
                self._supervisors.append(
                    subprocess.Popen(
                        [*host.enter, "sh", "-c", command],
                        stdout=log,
                        stderr=log,
                        cwd=ROOT,
                        env=env,
                        start_new_session=True,
                    )
                )

    def start_generators(self, hosts: Sequence[Host] = (HERE, HERE)) -> None:
        """Start a generator on each host; they join each run."""
        words = [*OWN_PYTHON, "-m", "generator", "join", f"{self.master}:{self.join_port}"]
        env = {name: value for name, value in os.environ.items() if not name.startswith("FANBENCH_")}
        env |= {"FANBENCH_RUN_NAME": "mine"} | self.join_environment
        for number, host in enumerate(hosts, start=1):
            with (self.folder / f"generator-{number}.log").open("ab") as log:
                command = [*host.enter, *words]
                self.generators.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=env))

    def start_proxy(self) -> None:
        """Start nginx in front of both; return once a replica answers."""
        nginx = find_nginx() or missing("nginx is not installed; run `make brokers`")
        listen = f"{self.proxy.address}:{self.proxy_port}"
        behind = [url.removeprefix("http://") for url in self.urls]
        start_proxy(nginx, listen, behind, self.folder, self._children, self.proxy.enter)

    def worker(self) -> psutil.Process:
        """The first worker's current process."""
        return psutil.Process(self._supervisors[0].pid).children()[0]

    def stats(self) -> list[ReplicaStats]:
        """The replicas' counts, which outlive every run."""
        return [decode(ReplicaStats, httpx.get(f"{url}/stats", timeout=20).content, url) for url in self.urls]

    def counts(self, stream: str) -> list[int]:
        """What each replica that ever received the stream received of its measured events: those that ended, and those that run."""
        path = self.folder / COUNTS
        ended = [decode(ReplicaStats, line, COUNTS) for line in path.read_text().splitlines()] if path.exists() else []
        return [
            sum(counts.measure for counts in stats.received[stream].values())
            for stats in (*ended, *self.stats())
            if stream in stats.received
        ]

    def close(self) -> None:
        for supervisor in self._supervisors:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(supervisor.pid, signal.SIGKILL)
            supervisor.wait()
        for generator in self.generators:
            generator.kill()
            generator.wait()
        self._children.stop()
        for port in self.ports:
            end(self.folder / f"{port}.pid")


def end(pid_file: Path) -> None:
    """End the replica of that file, and wait until its port is free."""
    if not pid_file.exists():
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(pid_file.read_text()))
        process.terminate()
        _, alive = psutil.wait_procs([process], timeout=20)
        for one in alive:
            one.kill()
    pid_file.unlink()


def restart(folder: Path, places: list[tuple[int, str, *tuple[str, ...]]]) -> None:
    """What the command does: restart each replica with this environment at its port, address and host."""
    for port, address, *_ in places:
        with contextlib.suppress(httpx.TransportError), (folder / COUNTS).open("a", encoding="utf-8") as counts:
            counts.write(httpx.get(f"http://{address}:{port}/stats", timeout=20).text.strip() + "\n")
        end(folder / f"{port}.pid")
    for number, (port, address, *enter) in enumerate(places, start=1):
        own = {"FANBENCH_HOST": address, "FANBENCH_PORT": str(port), "FANBENCH_SERVER": f"replica-{number}"}
        own["FANBENCH_STOP_SPREAD_S"] = "0"
        with (folder / f"replica-{number}.log").open("ab") as log:
            started = subprocess.Popen(
                [*enter, *OWN_PYTHON, "-m", "server"],
                env=os.environ | own,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (folder / f"{port}.pid").write_text(str(started.pid))


if __name__ == "__main__":
    restart(Path(sys.argv[1]), json.loads(sys.argv[2]))
