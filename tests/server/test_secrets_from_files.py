"""The broker's password may come from a file, for server and generator."""

import json
from pathlib import Path

import pytest

from brokers.contenders import find_contender
from brokers.programs.running import PASSWORD, USER
from tests.server.program import SseClient, run_to_end, running

pytestmark = pytest.mark.usefixtures("integration")


@pytest.mark.usefixtures("integration")
def test_a_password_from_a_file(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\n")
    with find_contender("valkey").started(tmp_path / "broker", "password") as broker:
        url = f"redis://{USER}@{broker.listeners['redis']}"
        settings = {"broker_url": url, "broker_password_file": secret, "generate": "true"}
        with running(folder, **settings) as replica, SseClient(replica.port) as client:
            assert json.loads(client.take(1)[0].data)["topic"] == "events"
            assert PASSWORD not in str(replica.stats()) + replica.log.read_text()
        secret.write_text("wrong\n")
        ended = run_to_end({"port": 0, "broker_url": url, "broker_password_file": secret})
        assert ended.returncode == 2
        assert "check the user and the password in the URL, or in its password_file" in ended.stderr
        assert "wrong\n" not in ended.stderr
