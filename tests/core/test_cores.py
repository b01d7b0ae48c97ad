"""The cores that this process may use count, not those of the machine."""

import os
import subprocess
import sys

import pytest

from core.cores import usable_cores


@pytest.mark.subprocess
def test_affinity_counts():
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); from core.cores import usable_cores; print(usable_cores())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) <= 1


@pytest.mark.parametrize(
    ("limits", "cores"),
    [
        ({"a/b": "50000 100000"}, 0.5),
        ({"a": "50000 100000", "a/b": "max 100000"}, 0.5),
        ({"a/b": "max 100000"}, None),
        ({"a/b": "nonsense"}, None),
        ({"other": "1000 100000"}, None),
        ({}, None),
    ],
)
def test_the_narrowest_limit_of_the_own_cgroup_counts(tmp_path, limits, cores):
    for name, text in limits.items():
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "cpu.max").write_text(text + "\n")
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/elsewhere\n0::/a/b\n")
    assert usable_cores(tmp_path, own) == (len(os.sched_getaffinity(0)) if cores is None else cores)
