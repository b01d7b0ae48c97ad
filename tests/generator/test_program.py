"""`python -m generator` with wrong options: one line, and exit code 2, or 1 for temporary causes."""

import os
import subprocess

import pytest

from core.process import OWN_PYTHON
from tests.elsewhere import put_decoys


@pytest.mark.usefixtures("integration")
@pytest.mark.parametrize(
    ("name", "value", "code", "words"),
    [
        ("FANBENCH_BROKER_URL", "redis://127.0.0.1:1", 1, ["redis://127.0.0.1:1", "cannot connect", "check"]),
        ("FANBENCH_DURATION_S", "inf", 2, ["FANBENCH_DURATION_S", "inf", "finite"]),
        (
            "FANBENCH_REPORT",
            "none/report.json",
            2,
            ["FANBENCH_REPORT", "none/report.json", "directory does not exist", "create"],
        ),
        ("FANBENCH_REPORT", "core", 2, ["FANBENCH_REPORT", "core", "is a directory", "give"]),
        ("FANBENCH_SHARE", "4/3", 2, ["FANBENCH_SHARE='4/3'", "give for instance 2/3"]),
        ("FANBENCH_STARTS_AT", "2026-11-30T06:00:00", 2, ["FANBENCH_STARTS_AT", "time zone", "Z"]),
        ("FANBENCH_PROCESSES", "2", 2, ["share 2/2", "no topic is left", "there are 1", "at most"]),
    ],
)
def test_an_impossible_start_gives_one_line_and_an_exit_code(name, value, code, words, tmp_path):
    command = [*OWN_PYTHON, "-m", "generator"]
    env = os.environ | {name: value}
    done = subprocess.run(command, env=env, cwd=put_decoys(tmp_path), capture_output=True, text=True, timeout=60)
    (line,) = done.stderr.splitlines()
    assert done.returncode == code
    for word in words:
        assert word in line
