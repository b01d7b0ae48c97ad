"""A program's exit code says that a broker's refusal is permanent, so that its supervisor does not retry."""

import os
import subprocess
import sys

import pytest

from brokers.conformance.provocations import provocations_of
from brokers.contenders import find_contender
from brokers.programs.running import PASSWORD
from core.errors import REFUSED
from tests.missing import missing

pytestmark = pytest.mark.usefixtures("integration")


@pytest.mark.usefixtures("integration")
@pytest.mark.parametrize("program", ["server", "generator"])
@pytest.mark.parametrize("name", ["valkey", "nats"])
def test_a_wrong_password_stays_wrong(tmp_path, name, program):
    if not find_contender(name).runnable:
        missing(find_contender(name).install_hint)
    with provocations_of(name).restricted(tmp_path / "broker") as restricted:
        url = restricted.url.replace(PASSWORD, "guessed")
        env = os.environ | {"FANBENCH_BROKER_URL": url, "FANBENCH_PORT": "0"}
        command = [sys.executable, "-P", "-m", program]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == REFUSED, done.stderr
    assert "check the user and the password" in done.stderr.splitlines()[-1]
    assert "guessed" not in done.stderr
