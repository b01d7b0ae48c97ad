"""scripts/brokers.sh, with fake apt-get and brew on the PATH: nothing is installed."""

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.subprocess

SCRIPT = Path(__file__).parents[2] / "scripts" / "brokers.sh"


def run(path, **env):
    """Run the script with its own PATH; return its exit code and output."""
    text = SCRIPT.read_text(encoding="utf-8").replace("PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n", "")
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "BASH_ENV")}
    done = subprocess.run(
        ["/bin/bash", "-c", text],
        env=environment | {"PATH": str(path)} | env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def path(tmp_path):
    """An empty PATH, and a function that puts a program on it."""

    def put(*names, script="exit 0"):
        for name in names:
            program = tmp_path / name
            program.write_text(f"#!/bin/bash\n{script}\n")
            program.chmod(0o755)

    return tmp_path, put


def test_it_lists_what_is_installed_and_asks_brew_for_the_rest(path):
    folder, put = path
    put("redis-server", "mosquitto")
    put("brew", script=f'echo "$@" > {folder}/asked')
    code, words = run(folder)
    assert code == 0, words
    assert "brokers: here: redis-server mosquitto" in words
    asked = (folder / "asked").read_text().split()
    assert asked[:3] == ["install", "--quiet", "rabbitmq"]
    assert "nginx" in asked
    assert not {"redis", "mosquitto", "nchan"} & set(asked)


def test_without_a_package_manager_it_says_what_to_do_and_fails_on_a_ci_machine_only(path):
    folder, _ = path
    code, words = run(folder)
    assert code == 0
    assert "Neither apt-get nor brew is here" in words
    assert "rabbitmq-server" in words
    assert run(folder, CI="true")[0] == 1


def test_it_runs_on_the_bash_of_macos():
    text = SCRIPT.read_text(encoding="utf-8")
    for word in ("declare -A", "mapfile", "readarray", "${missing[@]^", ",,}"):
        assert word not in text
