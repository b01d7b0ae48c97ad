"""The user's own deployment: replicas and load workers that run elsewhere, and the commands that change it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from brokers.contender import Contender
from brokers.endpoint import redact
from core.errors import UsageError
from core.join_settings import JoinSettings
from core.scenario import Scenario
from core.settings import read_settings
from core.token import check_token
from core.topics import expand_topics

MASTER_AT = "127.0.0.1:5557"
"""Locust's own port, only on this machine."""
GENERATORS_AT = "127.0.0.1:5560"
_RUN_NAME = re.compile(r"[A-Za-z0-9._-]{0,64}")


@dataclass(frozen=True, slots=True)
class Deployment:
    """The addresses of everything that fanbench does not start itself."""

    replicas: tuple[str, ...]
    """The base URL of each replica, which fanbench queries."""
    clients_at: tuple[str, ...]
    """The addresses to which clients connect: the replicas, or a proxy in front of them."""
    workers: int
    """How many Locust workers must connect before a run begins."""
    master_host: str
    master_port: int
    run_name: str = ""
    """The run's name, which workers must give: the master rejects workers of another run."""
    deploy: str = ""
    """The command that gives the replicas a run's broker; empty if they already have it."""
    breaking: str = ""
    mending: str = ""
    """The commands of the fault `deployment-break`."""
    generators: int = 0
    """How many generators that run elsewhere must join before a run begins; 0: fanbench starts its own."""
    generators_at: str = GENERATORS_AT
    """The address at which fanbench waits for them."""
    token: str = field(default="", repr=False)
    """The token that the replicas require of clients and readers of `/stats`."""
    joining: JoinSettings | None = field(default=None, repr=False)
    """The secret and the certificate for generators that join; None if fanbench waits for none."""

    @property
    def master_at(self) -> str:
        """The address at which Locust's master listens."""
        return _at(self.master_host, self.master_port)

    def workload(self, scenario: Scenario, replicas_asked: int | None = None) -> Scenario:
        """Return the scenario with the deployment's number of replicas.

        Raises:
            UsageError: the user gave a different number of replicas, or a number of Locust processes for fanbench to
            start.
        """
        here = len(self.replicas)
        if replicas_asked is not None and replicas_asked != here:
            raise UsageError(
                f"--replicas {replicas_asked}: --replicas-at names {here}, and fanbench starts no others; leave out --replicas"
            )
        if scenario.load_processes:
            raise UsageError(
                f"--load-processes {scenario.load_processes}: with --replicas-at, the clients run in the workers that "
                "connect; start more workers and raise --workers-expected"
            )
        if self.generators and scenario.generator_processes > 1:
            raise UsageError(
                f"--generator-processes {scenario.generator_processes}: with --generators-expected, the generators that join publish; "
                "start more of them, and raise --generators-expected"
            )
        topics = 0 if scenario.sessions else len(expand_topics(scenario.topics))
        if not scenario.sessions and topics < self.generators:
            raise UsageError(
                f"--generators-expected {self.generators}: the workload has {topics} topics, and one generator publishes all events of "
                "a topic, in their order; expect fewer generators, or give more --topics"
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
                    f"contender '{contender.name}' {why}, but the replicas run elsewhere; give the URL of a broker that they "
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
                f"--transport {','.join(transports)}: a running worker has one locustfile; compare one transport at a time"
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
    generators_expected: int | None = None,
    generators_at: str = "",
) -> Deployment | None:
    """Make the deployment that the options describe; None without `--replicas-at`. An empty option was not given.

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
        "--generators-expected": generators_expected,
        "--generators-at": generators_at,
    }
    if not replicas_at:
        for option, value in needs_replicas.items():
            if value not in (None, ""):
                raise UsageError(
                    f"{option} needs replicas that run elsewhere: give --replicas-at URL,URL, or leave it out"
                )
        return None
    if bool(breaking) != bool(mending):
        given, lacking = ("--break", "--mend") if breaking else ("--mend", "--break")
        raise UsageError(f"{given} without {lacking}: give both (the command `true` does nothing)")
    if workers_expected is not None and workers_expected < 1:
        raise UsageError(f"--workers-expected {workers_expected}: must be at least 1; the workers hold the clients")
    if generators_expected is not None and generators_expected < 1:
        raise UsageError(
            f"--generators-expected {generators_expected}: must be at least 1; leave it out for a generator that fanbench starts"
        )
    if not _RUN_NAME.fullmatch(run_name):
        raise UsageError(f"--run-name {run_name!r}: up to 64 letters, digits, . _ and -")
    replicas = _urls("--replicas-at", replicas_at)
    # Locust also uses the port after that of its master.
    host, port = _address("--master-at", master_at or MASTER_AT, 65_534)
    generators = generators_expected or (1 if generators_at else 0)
    joins_at = _at(*_address("--generators-at", generators_at or GENERATORS_AT, 65_535))
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
        generators,
        joins_at,
        _token(),
        _joining(joins_at) if generators else None,
    )


def _joining(address: str) -> JoinSettings:
    """Read the settings for generators that join at that address from the environment, and check them before anything starts."""
    found = read_settings(JoinSettings)
    found.require_guarded(f"--generators-at {address}", address.rpartition(":")[0].strip("[]"))
    found.conductor_tls()
    return found


def _token() -> str:
    try:
        return check_token(os.environ.get("FANBENCH_LOAD_TOKEN", ""))
    except ValueError as error:
        raise UsageError(f"FANBENCH_LOAD_TOKEN: {error}; give the token of the replicas") from None


def _urls(option: str, text: str) -> tuple[str, ...]:
    """Parse base URLs; each may occur once, and a slash at the end is removed."""
    found = [word.strip().rstrip("/") for word in text.split(",") if word.strip()]
    for url in found:
        try:
            parts = urlsplit(url)
            usable = parts.scheme == "http" and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or parts.path or parts.query or parts.fragment or parts.username is not None:
            raise UsageError(
                f"{option} {redact(url)}: give http://HOST:PORT without a path; separate several with commas"
            )
        if found.count(url) > 1:
            raise UsageError(f"{option} {url}: occurs twice; each address is one replica or proxy; leave one out")
    if not found:
        raise UsageError(f"{option} {redact(text)!r}: give http://HOST:PORT; separate several with commas")
    return tuple(found)


def _address(option: str, text: str, largest: int) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= largest:
        raise UsageError(
            f"{option} {text}: give HOST:PORT, for instance 0.0.0.0:{'5557' if 'master' in option else '5560'}"
        )
    return host.strip("[]"), int(port)


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
