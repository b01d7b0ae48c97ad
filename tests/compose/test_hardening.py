"""A container of the demo can do nothing except its work."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.compose.demo import Demo, docker

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
GIVES_UP_ROOT = {"SETUID", "SETGID", "CHOWN", "DAC_OVERRIDE", "FOWNER", "NET_BIND_SERVICE"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", ())) <= GIVES_UP_ROOT
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert 0 < service["pids_limit"] <= 512
    assert "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_can_be_fixed_by_its_digest(name: str) -> None:
    assert re.fullmatch(r"\$\{[A-Z_]+_IMAGE:-[a-z/-]+(:v?[0-9][a-z0-9.-]*)?\}", SERVICES[name]["image"])


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("demo", ["rabbitmq"], indirect=True)
def test_the_running_containers_are_bounded(demo: Demo) -> None:
    demo.wait_healthy(5)
    assert_bounded(demo)


def assert_bounded(demo: Demo) -> None:
    """Check every running container; test_demo.py does so with the demo on Redis, which it starts anyway."""
    for container in docker("ps", "--quiet", "--filter", f"label=com.docker.compose.project={demo.project}").split():
        (found,) = json.loads(docker("inspect", container))
        host = found["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["Memory"] > 0
        assert host["PidsLimit"] > 0
        written = docker("exec", container, "sh", "-c", "touch /usr/x 2>/dev/null && echo written || true")
        assert written == "", found["Name"]
