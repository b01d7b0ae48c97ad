"""`--launch docker` without Docker: the content of containers, and one line if there is no Docker."""

import base64
import re
from pathlib import Path

import pytest

from brokers.contenders import all_contenders, find_contender
from brokers.programs import docker, mosquitto, rabbitmq
from brokers.programs.catalogue import IMAGES, PROGRAMS, program_of
from brokers.programs.container import create_words
from core.errors import FanbenchError, UsageError
from deploy.entrypoint import BROKERS
from tests.harness.forked_command import forked_fanbench

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
ANSWERS = 'case "$1" in version) echo 28.2.2 ;; image) ;; *) echo "manifest for $3 not found" >&2; exit 1 ;; esac'
SILENT = "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock.' >&2; exit 1"


def service(name):
    """The lines of a service in docker-compose.yml."""
    found = re.search(rf"^  {name}:\n((?:    .*\n)+)", COMPOSE, re.MULTILINE)
    assert found, name
    return found[1]


@pytest.fixture
def only_docker(tmp_path, monkeypatch):
    """A PATH with only a `docker` made from the given script, or with nothing."""

    def make(script):
        folder = tmp_path / "bin"
        folder.mkdir()
        if script:
            (folder / "docker").write_text(f"#!/bin/sh\n{script}\n")
            (folder / "docker").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setattr("brokers.programs.finding._SYSTEM_PATHS", ())
        forget()

    def forget():
        docker.why_not.cache_clear()
        docker.require_image.cache_clear()

    yield make
    forget()


def test_every_program_has_an_image_the_one_of_docker_compose():
    assert set(IMAGES) == set(PROGRAMS)
    for name, image in IMAGES.items():
        assert f"_IMAGE:-{image.image}}}\n" in service(name)
        assert program_of(name, "docker") is image
        assert program_of(name, "auto") is program_of(name, "local") is PROGRAMS[name]


@pytest.mark.parametrize("contender", [c for c in all_contenders() if c.program], ids=lambda c: c.name)
def test_an_image_listens_where_its_contenders_connect(contender):
    setup = IMAGES[contender.program].setup(contender.features)
    assert contender.url.format_map(dict.fromkeys(setup.ports, "host:1"))
    assert {protocol for protocol, _ in setup.probes} == set(setup.ports)


@pytest.mark.parametrize("name", ["valkey", "redis"])
def test_redis_and_valkey_get_the_options_of_docker_compose(name):
    image = IMAGES[name]
    words = re.search(r"command: \[(.*)\]", service(name))[1].replace('"', "").split(", ")
    assert image.setup(()).command == [*words, "--dir", "/data"]
    assert image.setup(("durable",)).command[4:6] == ["yes", "--protected-mode"]
    assert "--aclfile" in image.setup(("password",)).command


def test_postgres_gets_the_options_and_the_user_of_docker_compose():
    setup, lines = IMAGES["postgres"].setup(()), service("postgres")
    words = re.search(r"command: \[(.*)\]", lines)[1].split(", ")
    assert setup.command == words
    assert all(f"{name}: {value}\n" in lines for name, value in setup.environment.items())
    assert "POSTGRES_HOST_AUTH_METHOD" not in IMAGES["postgres"].setup(("password",)).environment
    assert BROKERS["postgres"] == "postgresql://fanbench@postgres:5432/postgres"


def test_the_shared_configuration_is_mounted_as_docker_compose_does():
    for name, config in (("rabbitmq", rabbitmq.CONFIG), ("mosquitto", mosquitto.CONFIG)):
        ((target, source),) = IMAGES[name].setup(()).files.items()
        assert source == config
        assert f"- ./{config.relative_to(ROOT)}:{target}:ro" in service(name)


def test_features_change_the_configuration():
    mqtt = IMAGES["rabbitmq"].setup(("mqtt",)).files
    assert mqtt["/etc/rabbitmq/rabbitmq.conf"].startswith(rabbitmq.CONFIG.read_text())
    assert "rabbitmq_mqtt" in mqtt["/etc/rabbitmq/enabled_plugins"]
    stock = IMAGES["mosquitto"].setup(("stock",)).files["/mosquitto/config/mosquitto.conf"]
    assert "listener 1883" in stock
    assert "set_tcp_nodelay" not in stock
    guarded = IMAGES["mosquitto"].setup(("password",)).files
    assert "allow_anonymous false" in guarded["/mosquitto/config/mosquitto.conf"]
    assert guarded["/mosquitto/config/users"].startswith("fanbench:$7$101$")
    assert "jetstream" not in IMAGES["nats"].setup(()).files["/etc/fanbench/nats.conf"]
    assert "jetstream" in IMAGES["nats"].setup(("jetstream",)).files["/etc/fanbench/nats.conf"]


def test_a_password_is_hashed_as_mosquitto_passwd_does():
    by_the_tool = (
        "fanbench:$7$101$x23phNl7rMSj437l$"
        "c8rm4JDJz+z3pG0q0Z4tRMrJNBvv2sH4SGGQEMzbgo8sjuf6qS+A5jtdy2w7+7R0KWRszfd3b/zZEw8pQhXwGA=="
    )
    salt = base64.b64decode("x23phNl7rMSj437l")
    assert mosquitto.password_line("fanbench", "fanbench-secret", salt) == by_the_tool


def test_a_container_is_published_on_the_loopback_address_only():
    words = create_words("n", "nats", "nats:2", {5001: 4222, 5002: 1883}, {"/c": Path("/f")}, "/data", ["-c", "/c"])
    assert words[0] == "create"
    assert [words[i + 1] for i, word in enumerate(words) if word == "--publish"] == [
        "127.0.0.1:5001:4222",
        "127.0.0.1:5002:1883",
    ]
    assert "type=bind,source=/f,target=/c,readonly" in words
    assert words[-5:] == ["--volume", "/data", "nats:2", "-c", "/c"]


@pytest.mark.usefixtures("integration")
@pytest.mark.parametrize("command", ["compare", "capacity", "faults", "hop", "conformance", "demo"])
def test_each_command_refuses_where_docker_is_not_installed(command, only_docker):
    only_docker(None)
    done = forked_fanbench(command, "valkey", "--launch", "docker")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("fanbench: contender 'valkey': docker is not installed here; install Docker")


@pytest.mark.usefixtures("integration")
@pytest.mark.parametrize(
    ("script", "said"),
    [
        (SILENT, ["the Docker daemon does not answer", "Cannot connect to the Docker daemon", "start it"]),
        (ANSWERS, ["image valkey/valkey:8-alpine is not available", "not found", "docker pull"]),
    ],
    ids=["no daemon", "no image"],
)
@pytest.mark.parametrize("names", [["valkey"], []], ids=["by name", "all"])
def test_a_missing_docker_is_reported_in_one_line(script, said, names, only_docker, tmp_path):
    only_docker(script)
    done = forked_fanbench("compare", *names, "--launch", "docker", "--out", tmp_path / "results")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    for words in said:
        assert words in line
    assert not (tmp_path / "results").exists()


@pytest.mark.usefixtures("integration")
def test_another_way_to_launch_is_refused():
    done = forked_fanbench("compare", "valkey", "--launch", "podman")
    assert done.returncode == 2
    assert "--launch podman" in done.stderr


@pytest.mark.subprocess
@pytest.mark.parametrize(
    ("script", "launch", "mentioned"),
    [(ANSWERS, "auto", True), (ANSWERS, "local", False), (SILENT, "auto", False), (None, "auto", False)],
    ids=["a daemon answers", "local is wanted", "no daemon", "no docker"],
)
def test_docker_is_offered_for_a_missing_program_if_it_would_work(script, launch, mentioned, only_docker):
    only_docker(script)
    contender = find_contender("mosquitto").launched_by(launch)
    assert not contender.runnable
    assert ("`--launch docker`" in contender.install_hint) is mentioned
    with pytest.raises(UsageError, match="mosquitto is not installed here; `make brokers`") as refused:
        contender.require_runnable()
    assert ("`--launch docker`" in str(refused.value)) is mentioned


@pytest.mark.usefixtures("integration")
def test_a_program_that_is_here_is_launched_without_docker(only_docker, tmp_path):
    only_docker(SILENT)
    with find_contender("nats").launched(tmp_path) as broker:
        assert broker.pids


@pytest.mark.subprocess
def test_a_container_that_cannot_be_made_is_reported_with_dockers_message(only_docker, tmp_path):
    only_docker('[ "$1" = create ] && { echo "Error: no space left on device" >&2; exit 1; }; echo 1')
    with pytest.raises(FanbenchError, match="docker create: Error: no space left on device"):
        IMAGES["valkey"].start(tmp_path)
