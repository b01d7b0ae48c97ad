"""What can be compared: program + adapter + delivery, by name; and a running broker of the user's own, by URL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

from brokers.clean_up import run_on
from brokers.endpoint import redact, with_absolute_files
from brokers.programs import docker
from brokers.programs.api import Program
from brokers.programs.catalogue import Launch, program_of
from brokers.programs.running import Running
from brokers.registry import library_missing, open_endpoint
from core.errors import FanbenchError, UsageError, nearest

Delivery = Literal["at-most-once", "at-least-once"]
_NOT_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class Broker(NamedTuple):
    """A broker that answers, and its URL for adapters."""

    url: str
    running: Running | None = None
    """The program, where it is ours: a fault may kill it and start it again."""

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
        return program_of(program, self.launch)

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

    def started(self, folder: Path, *more_features: str) -> Running:
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


def all_contenders() -> list[Contender]:
    """Every contender with a name, the harness floor first."""
    return list(_CONTENDERS)


def find_contender(name_or_url: str) -> Contender:
    """The contender of that name, or one for a running broker at a URL.

    Raises:
        UsageError: there is no such contender, or the URL's scheme or an option is unknown.
    """
    if "://" in name_or_url:
        return _of_url(name_or_url)
    for contender in _CONTENDERS:
        if contender.name == name_or_url:
            return contender
    known = nearest(name_or_url, [contender.name for contender in _CONTENDERS])
    raise UsageError(
        f"no contender '{redact(name_or_url)}'; {known}{'' if known.endswith('?') else '.'} A running broker is given by its URL"
    )


def _of_url(url: str) -> Contender:
    url = with_absolute_files(url)
    adapter, endpoint = open_endpoint(url)
    delivery: Delivery = _AT_LEAST if endpoint.delivery == _AT_LEAST else _AT_MOST
    name = endpoint.place
    return Contender(name if delivery == adapter.deliveries[0] else f"{name} {delivery}", delivery, url)
