"""Broker programs as containers of their official images, those of docker-compose.yml."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from brokers.programs import mosquitto, nats, postgres, rabbitmq
from brokers.programs.container import create
from brokers.programs.docker import docker, find_docker, require_image, why_not
from brokers.programs.finding import first_version
from brokers.programs.postgres_background import DATABASE
from brokers.programs.probe import amqp_answers, mqtt_answers, postgres_answers, redis_answers
from brokers.programs.running import PASSWORD, START_TIMEOUT_S, USER, Running, launch
from brokers.programs.valkey import ACL
from core.errors import FanbenchError
from core.ports import free_ports

Probe = Callable[[int], bool]
_LATER_START_S = 10.0
"""The time that creating a network and a port mapping may add to a start on a busy machine."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a container needs for the requested features."""

    ports: Mapping[str, int]
    """Its ports by protocol."""
    probes: list[tuple[str, Probe]]
    """The probes that must answer before it is ready, by protocol."""
    command: list[str] = field(default_factory=list)
    """Replaces the image's command, or is added to its entry point."""
    files: Mapping[str, str | Path] = field(default_factory=dict)
    """Files of fanbench, or texts, by their path in the container."""
    credentials: tuple[str, str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OfficialImage:
    """A product's official image; it has the features of the local program."""

    name: str
    image: str
    """As in docker-compose.yml."""
    setup: Callable[[Collection[str]], Setup]
    volume: str
    """The directory of its data, in a separate volume."""
    ask_version: tuple[str, ...]
    """The program in it that prints its version."""
    start_timeout_s: float = START_TIMEOUT_S
    stop_grace_s: float = 3.0

    @property
    def install_hint(self) -> str:
        """What is missing; empty if a Docker daemon answers."""
        return why_not()

    def find(self) -> Path | None:
        """`docker`, if its daemon answers."""
        return None if why_not() else find_docker()

    def require(self) -> Path:
        """`docker`; see Program. Pulls the image if it is missing."""
        found = self.find()
        if found is None:
            raise FanbenchError(why_not())
        require_image(self.image)
        return found

    def version(self) -> str:
        """The version that the program in the image prints, and the image; only the image if it prints none."""
        return f"{_version(self.image, self.ask_version)} {self.image}".strip()

    def start(self, folder: Path, features: Collection[str] = ()) -> Running:
        """Run it; see Program."""
        self.require()
        setup = self.setup(features)
        data = folder / f"{self.name}-config"
        here = dict(zip(setup.ports, free_ports(len(setup.ports)), strict=True))
        container = create(
            self.name,
            self.image,
            folder / f"{self.name}.log",
            ports={here[protocol]: inside for protocol, inside in setup.ports.items()},
            files=_written(setup.files, data),
            volume=self.volume,
            command=setup.command,
            environment=setup.environment,
        )
        return launch(
            Running(
                name=f"{self.name} in Docker",
                listeners={protocol: f"127.0.0.1:{port}" for protocol, port in here.items()},
                data=data,
                spawn=container.start,
                ready=lambda: all(answers(here[protocol]) for protocol, answers in setup.probes),
                start_timeout_s=self.start_timeout_s + _LATER_START_S,
                stop_grace_s=self.stop_grace_s,
                credentials=setup.credentials,
                discard=container.remove,
            )
        )


def _written(files: Mapping[str, str | Path], folder: Path) -> dict[str, Path]:
    """Return each as a file that can be mounted; a text is written to `folder`, readable by the container's user."""
    found: dict[str, Path] = {}
    for target, content in files.items():
        if isinstance(content, str):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / Path(target).name
            path.write_text(content, encoding="utf-8")
            path.chmod(0o644)
            content = path
        found[target] = content
    return found


@cache
def _version(image: str, ask: tuple[str, ...]) -> str:
    try:
        return first_version(docker("run", "--rm", "--network", "none", "--entrypoint", ask[0], image, *ask[1:]))
    except FanbenchError:
        return ""


def _credentials(features: Collection[str]) -> tuple[str, str] | None:
    return (USER, PASSWORD) if "password" in features else None


def redis_setup(server: str, features: Collection[str]) -> Setup:
    """redis-server or valkey-server, with the options of docker-compose.yml.

    Feature `durable` enables its append-only file.
    """
    durable = "yes" if "durable" in features else "no"
    command = [server, "--save", "", "--appendonly", durable, "--protected-mode", "no", "--dir", "/data"]
    guarded = "password" in features
    return Setup(
        ports={"redis": 6379},
        probes=[("redis", redis_answers)],
        command=command + (["--aclfile", "/etc/fanbench/users.acl"] if guarded else []),
        files={"/etc/fanbench/users.acl": ACL} if guarded else {},
        credentials=_credentials(features),
    )


def rabbitmq_setup(features: Collection[str]) -> Setup:
    """deploy/rabbitmq/rabbitmq.conf; feature `mqtt` adds its plug-in to the image's enabled one."""
    files: dict[str, str | Path] = {"/etc/rabbitmq/rabbitmq.conf": rabbitmq.CONFIG}
    ports: dict[str, int] = {"amqp": 5672}
    probes: list[tuple[str, Probe]] = [("amqp", amqp_answers)]
    if "mqtt" in features:
        text = rabbitmq.CONFIG.read_text(encoding="utf-8")
        files["/etc/rabbitmq/rabbitmq.conf"] = f"{text}\nmqtt.tcp_listen_options.nodelay = true\n"
        files["/etc/rabbitmq/enabled_plugins"] = "[rabbitmq_prometheus,rabbitmq_mqtt].\n"
        ports["mqtt"] = 1883
        probes.append(("mqtt", mqtt_answers))
    return Setup(ports, probes, files=files, credentials=("guest", "guest"))


def mosquitto_setup(features: Collection[str]) -> Setup:
    """deploy/mosquitto/mosquitto.conf, changed only for the features `stock` and `password`."""
    files: dict[str, str | Path] = {"/mosquitto/config/mosquitto.conf": mosquitto.CONFIG}
    if {"stock", "password"} & set(features):
        lines = mosquitto.shared_config(stock="stock" in features)
        if "password" in features:
            lines += ["allow_anonymous false", "password_file /mosquitto/config/users"]
            files["/mosquitto/config/users"] = mosquitto.password_line(USER, PASSWORD, secrets.token_bytes(12)) + "\n"
        files["/mosquitto/config/mosquitto.conf"] = "\n".join(lines) + "\n"
    return Setup({"mqtt": 1883}, [("mqtt", mqtt_answers)], files=files, credentials=_credentials(features))


def nats_setup(features: Collection[str]) -> Setup:
    """The local program's configuration, with streams stored where docker-compose.yml has them."""
    target = "/etc/fanbench/nats.conf"
    text = nats.config_text(features, "0.0.0.0", 4222, 1883, Path("/tmp/nats"))  # noqa: S104, S108 - inside
    return Setup(
        ports={"nats": 4222} | ({"mqtt": 1883} if "mqtt" in features else {}),
        probes=nats.probes(features),
        command=["-c", target],
        files={target: text},
        credentials=_credentials(features),
    )


def postgres_setup(features: Collection[str]) -> Setup:
    """The options of docker-compose.yml."""
    guarded = "password" in features
    access = {"POSTGRES_PASSWORD": PASSWORD} if guarded else {"POSTGRES_HOST_AUTH_METHOD": "trust"}
    return Setup(
        ports={"postgres": 5432},
        probes=[("postgres", postgres_answers)],
        command=["postgres", *(word for option in postgres.OPTIONS for word in ("-c", option))],
        credentials=_credentials(features),
        environment={"POSTGRES_USER": USER, "POSTGRES_DB": DATABASE} | access,
    )


def _redis_like(name: str, image: str) -> OfficialImage:
    server = f"{name}-server"
    return OfficialImage(name, image, partial(redis_setup, server), "/data", (server, "--version"))


valkey_image = _redis_like("valkey", "valkey/valkey:8-alpine")
redis_image = _redis_like("redis", "redis:7-alpine")
rabbitmq_image = OfficialImage(
    "rabbitmq",
    "rabbitmq:4",
    rabbitmq_setup,
    "/var/lib/rabbitmq",
    ("rabbitmqctl", "version"),
    rabbitmq.START_TIMEOUT_S,
    rabbitmq.STOP_GRACE_S,
)
mosquitto_image = OfficialImage(
    "mosquitto", "eclipse-mosquitto:2", mosquitto_setup, "/mosquitto/data", ("sh", "-c", "mosquitto -h || true")
)
nats_image = OfficialImage("nats", "nats:2-alpine", nats_setup, "/tmp/nats", ("nats-server", "--version"))  # noqa: S108
postgres_image = OfficialImage(
    "postgres",
    "postgres:17-alpine",
    postgres_setup,
    "/var/lib/postgresql/data",
    ("postgres", "--version"),
)
