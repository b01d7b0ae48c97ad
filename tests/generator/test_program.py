"""`python -m generator` told wrong: one line, exit code 2."""

import os
import subprocess

import pytest

from core.process import OWN_PYTHON
from tests.elsewhere import put_decoys


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("FANBENCH_BROKER_URL", "redis://127.0.0.1:1", ["redis://127.0.0.1:1", "cannot connect", "check"]),
        ("FANBENCH_DURATION_S", "inf", ["FANBENCH_DURATION_S", "inf", "finite"]),
        (
            "FANBENCH_REPORT",
            "none/report.json",
            ["FANBENCH_REPORT", "none/report.json", "directory does not exist", "create"],
        ),
        ("FANBENCH_REPORT", "core", ["FANBENCH_REPORT", "core", "is a directory", "give"]),
    ],
)
def test_what_cannot_work_is_one_line_and_exit_code_2(name, value, words, tmp_path):
    command = [*OWN_PYTHON, "-m", "generator"]
    env = os.environ | {name: value}
    done = subprocess.run(command, env=env, cwd=put_decoys(tmp_path), capture_output=True, text=True, timeout=60)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    for word in words:
        assert word in line
