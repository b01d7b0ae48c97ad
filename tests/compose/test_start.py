"""deploy/nginx/start.sh with the real nginx, outside a container."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from core.ports import free_port
from harness.runner.proxy import find_nginx
from tests.compose.demo import ROOT
from tests.missing import missing
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def nginx(integration):
    """Its path."""
    return find_nginx() or missing("nginx is not installed; run `make brokers`")


def start(port: int, log: Path) -> subprocess.Popen[bytes]:
    settings = {
        "REPLICAS": "localhost",
        "LISTEN": f"127.0.0.1:{port}",
        "UI": str(ROOT / "ui"),
        "TMPDIR": str(log.parent),
    }
    nginx = find_nginx()
    assert nginx is not None
    env = os.environ | settings | {"PATH": f"{Path(nginx).parent}:{os.environ['PATH']}"}
    with log.open("wb") as output:
        return subprocess.Popen(["sh", "deploy/nginx/start.sh"], cwd=ROOT, env=env, stdout=output, stderr=output)


def test_nginx_ending_is_a_failure_for_the_restart_policy(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start(taken.getsockname()[1], tmp_path / "log")
        assert process.wait(60) == 1
    assert "Address already in use" in (tmp_path / "log").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_a_requested_end_is_not_a_failure(tmp_path):
    port = free_port()
    process = start(port, tmp_path / "log")
    try:
        wait_until(lambda: accepts(port), "nginx listens", 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
