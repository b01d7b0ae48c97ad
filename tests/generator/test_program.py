"""`python -m generator` told wrong: one line, exit code 2, or 1 for what may pass."""

import os
import subprocess
import sys

import pytest

from tests.harness.command import ROOT


@pytest.mark.parametrize(
    ("name", "value", "code", "words"),
    [
        ("FANBENCH_BROKER_URL", "redis://127.0.0.1:1", 1, ["redis://127.0.0.1:1", "cannot connect", "check"]),
        ("FANBENCH_DURATION_S", "inf", 2, ["FANBENCH_DURATION_S", "inf", "finite"]),
    ],
)
def test_what_cannot_work_is_one_line_and_an_exit_code(name, value, code, words):
    command = [sys.executable, "-m", "generator"]
    env = os.environ | {name: value}
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
    (line,) = done.stderr.splitlines()
    assert done.returncode == code
    for word in words:
        assert word in line
