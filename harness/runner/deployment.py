"""A deployment of the user's own: replicas and load workers that run elsewhere, and the commands that change it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from brokers.contender import Contender
from brokers.endpoint import redact
from core.errors import UsageError
from core.scenario import Scenario

MASTER_AT = "127.0.0.1:5557"
"""Locust's own port, on this machine alone."""
_RUN_NAME = re.compile(r"[A-Za-z0-9._-]{0,64}")


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where everything is that fanbench does not start."""

    replicas: tuple[str, ...]
    """The base URL of each replica: whom fanbench asks."""
    clients_at: tuple[str, ...]
    """Where clients connect: the replicas, or a proxy before them."""
    workers: int
    """How many Locust workers must have come before a run begins."""
    master_host: str
    master_port: int
    run_name: str = ""
    """What the workers name too, so that those of another run are turned away."""
    deploy: str = ""
    """The command that gives the replicas a run's broker; empty where they have it."""
    breaking: str = ""
    mending: str = ""
    """The commands of the fault `deployment-break`."""
    token: str = field(default="", repr=False)
    """What the replicas ask clients for, and whoever reads `/stats`."""

    @property
    def master_at(self) -> str:
        """Where Locust's master listens."""
        return f"{self.master_host}:{self.master_port}"

    def workload(self, scenario: Scenario, replicas_asked: int | None = None) -> Scenario:
        """The scenario with as many replicas as the deployment has.

        Raises:
            UsageError: another number was asked for, or Locust processes that fanbench would have to start.
        """
        here = len(self.replicas)
        if replicas_asked is not None and replicas_asked != here:
            raise UsageError(
                f"--replicas {replicas_asked}: --replicas-at names {here}, and fanbench starts none there; leave out --replicas"
            )
        if scenario.load_processes:
            raise UsageError(
                f"--load-processes {scenario.load_processes}: with --replicas-at the clients are held by the workers that "
                "come; start more of them, and raise --workers-expected"
            )
        return scenario.with_fields(replicas=here)

    def require_usable(self, contenders: Sequence[Contender], transports: Sequence[str] = ("sse",)) -> None:
        """Raise UsageError if a contender or the transports cannot be measured there."""
        for contender in contenders:
            if contender.program is not None or contender.embedded:
                why = (
                    "has no broker" if contender.embedded else "is a program that fanbench would start on this machine"
                )
                raise UsageError(
                    f"contender '{contender.name}' {why}, and the replicas run elsewhere; give the URL of a broker that they "
                    "reach, for instance nats://10.0.0.5"
                )
        if not contenders:
            raise UsageError("--replicas-at: name the brokers to compare by their URLs, for instance nats://10.0.0.5")
        if len(contenders) > 1 and not self.deploy:
            raise UsageError(
                f"{len(contenders)} contenders: replicas have one broker at a time; give --deploy, the command that gives "
                "them the broker in FANBENCH_BROKER_URL"
            )
        if len(transports) > 1:
            raise UsageError(
                f"--transport {','.join(transports)}: a worker that runs has one locustfile; compare one transport at a time"
            )


def parse_deployment(
    replicas_at: str,
    clients_at: str,
    workers_expected: int | None,
    master_at: str,
    run_name: str,
    deploy: str,
    breaking: str,
    mending: str,
) -> Deployment | None:
    """The deployment that the options describe, empty where one was not given; None where `--replicas-at` was not given.

    Raises:
        UsageError: an option cannot be used, or needs another one.
    """
    needs_replicas = {
        "--clients-at": clients_at,
        "--workers-expected": workers_expected,
        "--master-at": master_at,
        "--run-name": run_name,
        "--deploy": deploy,
        "--break": breaking,
        "--mend": mending,
    }
    if not replicas_at:
        for option, value in needs_replicas.items():
            if value:
                raise UsageError(
                    f"{option} is about replicas that run elsewhere: give --replicas-at URL,URL, or leave it out"
                )
        return None
    if bool(breaking) != bool(mending):
        given, lacking = ("--break", "--mend") if breaking else ("--mend", "--break")
        raise UsageError(f"{given} without {lacking}: what is broken must be mended; give both (`true` does nothing)")
    if workers_expected is not None and workers_expected < 1:
        raise UsageError(f"--workers-expected {workers_expected}: at least one worker holds the clients")
    if not _RUN_NAME.fullmatch(run_name):
        raise UsageError(f"--run-name {run_name!r}: up to 64 letters, digits, . _ and -")
    replicas = _urls("--replicas-at", replicas_at)
    host, port = _address(master_at or MASTER_AT)
    return Deployment(
        replicas,
        _urls("--clients-at", clients_at) if clients_at else replicas,
        workers_expected or 1,
        host,
        port,
        run_name,
        deploy,
        breaking,
        mending,
        os.environ.get("FANBENCH_LOAD_TOKEN", ""),
    )


def _urls(option: str, text: str) -> tuple[str, ...]:
    """Base URLs, each once, without a slash at the end."""
    found = [word.strip().rstrip("/") for word in text.split(",") if word.strip()]
    for url in found:
        try:
            parts = urlsplit(url)
            usable = parts.scheme == "http" and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or parts.path or parts.query or parts.fragment or parts.username is not None:
            raise UsageError(f"{option} {redact(url)}: give http://HOST:PORT and nothing behind it, several by commas")
        if found.count(url) > 1:
            raise UsageError(f"{option} {url}: is there twice; each address is one replica or proxy, leave one out")
    if not found:
        raise UsageError(f"{option} {redact(text)!r}: give http://HOST:PORT, several by commas")
    return tuple(found)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_535:  # Locust takes the next one, too
        raise UsageError(f"--master-at {text}: give HOST:PORT, for instance 0.0.0.0:5557")
    return host.strip("[]"), int(port)
