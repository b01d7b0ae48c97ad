"""scripts/hubs.sh, with fake apt-get and npm on the PATH: nothing is installed."""

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.subprocess

SCRIPT = Path(__file__).parents[2] / "scripts" / "hubs.sh"
NPM = """
home=$3
for word in "$@"; do case $word in
  *@[0-9]*) mkdir -p "$home/node_modules/${word%@*}"; echo '  "version": "'"${word##*@}"'",' > "$home/node_modules/${word%@*}/package.json" ;;
esac; done
"""


@pytest.fixture
def run(tmp_path):
    """Run it with a PATH that has only these programs; return its exit code and output."""
    path = tmp_path / "path"
    path.mkdir()
    for tool in ("sed", "head", "mkdir", "id"):
        (path / tool).symlink_to(f"/usr/bin/{tool}" if Path(f"/usr/bin/{tool}").exists() else f"/bin/{tool}")

    def once(**programs):
        for name, script in programs.items():
            program = path / name
            program.write_text(f"#!/bin/bash\n{script}\n")
            program.chmod(0o755)
        env = {name: value for name, value in os.environ.items() if name not in ("CI", "BASH_ENV")}
        env |= {"PATH": str(path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        done = subprocess.run(["/bin/bash", SCRIPT], env=env, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    return once


def test_missing_programs_are_installed_once_and_then_listed(run, tmp_path):
    code, words = run(pushpin="exit 0", node="exit 0", npm=f'echo "$@" >> {tmp_path}/asked\n{NPM}')
    assert code == 0
    assert "hubs: here: pushpin better-sse@0.16.1 @durable-streams/server@0.3.7" in words
    assert "not here" not in words
    (asked,) = (tmp_path / "asked").read_text().splitlines()
    assert "--no-package-lock" in asked
    assert run()[1] == "hubs: here: pushpin better-sse@0.16.1 @durable-streams/server@0.3.7\n"
    assert len((tmp_path / "asked").read_text().splitlines()) == 1


def test_a_failed_installation_is_named_and_nothing_fails(run):
    code, words = run()
    assert code == 0
    assert "hubs: not here: pushpin (apt install pushpin)" in words
    assert "(install nodejs and npm first)" in words
    assert "its tests are skipped" in words
    code, words = run(pushpin="exit 0", node="exit 0", npm="exit 1")
    assert code == 0
    assert "hubs: here: pushpin\n" in words
    assert "hubs: not here: better-sse@0.16.1 (npm install failed)" in words
