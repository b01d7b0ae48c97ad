"""What can be compared: program + adapter + delivery, by name; and a running broker of the user's own, by URL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl

from brokers.clean_up import run_on
from brokers.endpoint import redact, with_absolute_files
from brokers.programs import docker
from brokers.programs.api import Program
from brokers.programs.catalogue import CLUSTERS, Launch, program_of
from brokers.programs.cluster import Cluster
from brokers.programs.cluster_settings import chosen
from brokers.programs.redis_sentinel import SERVICE
from brokers.programs.running import Running
from brokers.registry import library_missing, open_endpoint
from core.errors import FanbenchError, UsageError, nearest

Delivery = Literal["at-most-once", "at-least-once"]
_NOT_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class Broker(NamedTuple):
    """A broker that answers, and its URL for adapters."""

    url: str
    running: Running | Cluster | None = None
    """The program, where it is ours: a fault may kill it and start it again, or one of its nodes."""

    @property
    def pids(self) -> list[int]:
        """The processes whose trees are the broker's CPU and memory, as they are now."""
        return [] if self.running is None else self.running.pids


@dataclass(frozen=True, slots=True)
class Contender:
    """Without a program it is `memory`, or a broker of the user's own at `url`."""

    name: str
    delivery: Delivery
    url: str = field(repr=False)
    """For adapters; `{redis}`, `{nats}` and so on stand for host:port of the program's listeners."""
    program: str | None = None
    features: tuple[str, ...] = ()
    """What the program must have switched on."""
    primary: bool = False
    """Whether `fanbench compare` without names takes it: the floor, and the first contender of each program."""
    launch: Launch = "auto"
    """How its program is run."""
    clients_at: Literal["any node", "any node, none leads", "the leader"] = "any node"
    """Of a cluster: where its clients are connected."""
    given: tuple[tuple[str, str], ...] = ()
    """Settings of its cluster that a person chose."""

    @property
    def clustered(self) -> bool:
        """Whether its program runs as several nodes."""
        return self.program in CLUSTERS

    @property
    def settings(self) -> dict[str, int]:
        """What decides how long its cluster's failover takes, by name; empty where there is no cluster.

        Raises:
            UsageError: one that a person chose does not exist, or takes no such value.
        """
        if self.program is None or self.program not in CLUSTERS:
            return {}
        return chosen(self.name, CLUSTERS[self.program].settings, dict(self.given))

    @property
    def embedded(self) -> bool:
        """Whether there is no broker, and each replica generates by itself."""
        return self.url.startswith("memory:")

    @property
    def file_name(self) -> str:
        """The name with nothing that a file name cannot hold."""
        return _NOT_FILE_NAME.sub("-", self.name).strip("-")

    @property
    def runnable(self) -> bool:
        """Whether its program and client library are found here; a broker of the user's own is tried when its run starts."""
        if self.program is None:
            return True
        return self._launcher(self.program).find() is not None and self._library_missing is None

    @property
    def install_hint(self) -> str:
        """What to do where it is not runnable: about its program, and where that is here, about its client library."""
        if self.program is None:
            return ""
        launcher = self._launcher(self.program)
        if launcher.find() is None or self._library_missing is None:
            return launcher.install_hint + self._or_docker
        return self._library_missing

    @property
    def _library_missing(self) -> str | None:
        return library_missing(self.url.partition(":")[0])

    @property
    def _or_docker(self) -> str:
        return ", or `--launch docker`" if self.launch == "auto" and not docker.why_not() else ""

    def program_version(self) -> str:
        """Empty where there is no program, or it is not found."""
        return "" if self.program is None else self._launcher(self.program).version()

    def require_runnable(self) -> None:
        """Raise UsageError, with what to do, if its client library or its program is not found here, or its image cannot be had."""
        if self.program is None:
            return
        if (missing := self._library_missing) is not None:
            raise UsageError(f"contender '{self.name}': {missing}")
        try:
            self._launcher(self.program).require()
        except FanbenchError as error:
            raise UsageError(f"contender '{self.name}': {error}{self._or_docker}") from error

    def launched_by(self, launch: Launch) -> Contender:
        """The same, its program run in that way."""
        return replace(self, launch=launch)

    def _launcher(self, program: str) -> Program:
        return program_of(program, self.launch, self.settings)

    @contextmanager
    def launched(self, folder: Path) -> Iterator[Broker]:
        """Run its program, if it has one, with log and data in `folder`; stop it on leaving.

        At a broker of the user's own, what is created bears a name of its own and is removed on leaving.

        Raises:
            FanbenchError: the program is not found, or does not come up.
        """
        if self.embedded:
            yield Broker(self.url)
            return
        if self.program is None:
            with run_on(self.url, self.delivery) as url:
                yield Broker(url)
            return
        with self.started(folder) as running:
            yield Broker(self.url.format_map(running.listeners), running)

    def started(self, folder: Path, *more_features: str) -> Running | Cluster:
        """Its program, running with what it needs and more features.

        Raises:
            FanbenchError: the program is not found, or does not come up.
        """
        assert self.program is not None
        return self._launcher(self.program).start(folder, (*self.features, *more_features))


_AT_MOST: Delivery = "at-most-once"
_AT_LEAST: Delivery = "at-least-once"

_CONTENDERS = (
    Contender("memory", _AT_MOST, "memory://", primary=True),
    Contender("valkey", _AT_MOST, "redis://{redis}", "valkey", primary=True),
    Contender("valkey-streams", _AT_LEAST, "redis+streams://{redis}", "valkey", ("durable",)),
    Contender("redis", _AT_MOST, "redis://{redis}", "redis", primary=True),
    Contender("redis-streams", _AT_LEAST, "redis+streams://{redis}", "redis", ("durable",)),
    Contender("rabbitmq", _AT_MOST, "amqp://{amqp}", "rabbitmq", primary=True),
    Contender("rabbitmq-confirms", _AT_LEAST, "amqp://{amqp}", "rabbitmq"),
    Contender("rabbitmq-stream", _AT_LEAST, "amqp+stream://{amqp}", "rabbitmq"),
    Contender("mosquitto", _AT_MOST, "mqtt://{mqtt}", "mosquitto", primary=True),
    Contender("mosquitto-qos1", _AT_LEAST, "mqtt://{mqtt}", "mosquitto"),
    Contender("nats", _AT_MOST, "nats://{nats}", "nats", primary=True),
    Contender("nats-jetstream", _AT_LEAST, "nats+js://{nats}", "nats", ("jetstream",)),
    Contender("nats-mqtt", _AT_MOST, "mqtt://{mqtt}", "nats", ("mqtt",)),
    Contender("rabbitmq-mqtt", _AT_MOST, "mqtt://guest:guest@{mqtt}", "rabbitmq", ("mqtt",)),
)

_CLUSTERED = (
    Contender(
        "valkey-sentinel",
        _AT_MOST,
        f"redis+sentinel://{{sentinel}}/{SERVICE}",
        "valkey-sentinel",
        clients_at="the leader",
    ),
    Contender(
        "valkey-streams-sentinel",
        _AT_LEAST,
        f"redis+streams+sentinel://{{sentinel}}/{SERVICE}",
        "valkey-sentinel",
        ("durable",),
        clients_at="the leader",
    ),
    Contender(
        "redis-sentinel",
        _AT_MOST,
        f"redis+sentinel://{{sentinel}}/{SERVICE}",
        "redis-sentinel",
        clients_at="the leader",
    ),
    Contender("valkey-cluster", _AT_MOST, "redis+cluster://{redis}", "valkey-cluster"),
    Contender("valkey-cluster-classic", _AT_MOST, "redis+cluster://{redis}?pubsub=classic", "valkey-cluster"),
    Contender("nats-cluster", _AT_MOST, "nats://{nats}", "nats-cluster", clients_at="any node, none leads"),
    Contender("nats-jetstream-r3", _AT_LEAST, "nats+js://{nats}?replicas=3", "nats-cluster", ("jetstream",)),
    Contender("rabbitmq-cluster", _AT_MOST, "amqp://{amqp}", "rabbitmq-cluster", clients_at="the leader"),
    Contender("rabbitmq-quorum", _AT_LEAST, "amqp://{amqp}?queue_type=quorum", "rabbitmq-cluster", ("quorum",)),
    Contender("rabbitmq-stream-r3", _AT_LEAST, "amqp+stream://{amqp}", "rabbitmq-cluster", ("stream",)),
    Contender("nats-mqtt-r3", _AT_MOST, "mqtt://{mqtt}", "nats-cluster", ("mqtt",), clients_at="any node, none leads"),
)


def all_contenders() -> list[Contender]:
    """Every contender of one process with a name, the harness floor first."""
    return list(_CONTENDERS)


def cluster_contenders() -> list[Contender]:
    """Every contender whose program runs as several nodes."""
    return list(_CLUSTERED)


def find_contender(name_or_url: str) -> Contender:
    """The contender of that name, or one for a running broker at a URL.

    Raises:
        UsageError: there is no such contender, or the URL's scheme or an option is unknown.
    """
    if "://" in name_or_url:
        return _of_url(name_or_url)
    name, _, query = name_or_url.partition("?")
    every = [*_CONTENDERS, *_CLUSTERED]
    for contender in every:
        if contender.name == name:
            return _with_settings(contender, query) if query else contender
    known = nearest(name, [contender.name for contender in every])
    raise UsageError(
        f"no contender '{redact(name_or_url)}'; {known}{'' if known.endswith('?') else '.'} A running broker is given by its URL"
    )


def _with_settings(contender: Contender, query: str) -> Contender:
    """Of `valkey-sentinel?down_after_ms=5000`; the name keeps the settings, so that two of them can be compared."""
    if not contender.clustered:
        raise UsageError(
            f"{contender.name}?{query}: {contender.name} is no cluster and has no settings; leave out '?{query}'"
        )
    given = tuple(parse_qsl(query, keep_blank_values=True))
    changed = replace(contender, name=f"{contender.name}?{query}", given=given)
    _ = changed.settings  # raises if one of them cannot be
    return changed


def _of_url(url: str) -> Contender:
    url = with_absolute_files(url)
    adapter, endpoint = open_endpoint(url)
    delivery: Delivery = _AT_LEAST if endpoint.delivery == _AT_LEAST else _AT_MOST
    name = endpoint.place
    return Contender(name if delivery == adapter.deliveries[0] else f"{name} {delivery}", delivery, url)
