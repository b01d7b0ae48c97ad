"""A full disk: one clear line, and earlier results stay."""

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import FanbenchError
from harness.results.load import load_results
from tests.harness import made_up
from tests.harness.command import FANBENCH
from tests.harness.results.test_store import opened


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may be larger than 20 kB: a write beyond fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_earlier_runs_are_kept(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    stored, refused = 0, ""
    while not refused:
        try:
            folder.add_run(made_up.run("valkey", stored + 1))
            stored += 1
        except FanbenchError as error:
            refused = str(error)
    assert stored >= 1
    with pytest.raises(
        FanbenchError, match=f"the {stored} earlier runs are kept in {tmp_path}/.*-incomplete; make room"
    ):
        folder.finish(complete=True)
    assert os.strerror(errno.EFBIG) in refused
    assert len(refused.splitlines()) == 1
    (kept,) = tmp_path.iterdir()
    assert kept == folder.path
    assert not list(kept.rglob("*.new"))
    assert len(load_results(kept).runs) == stored


@pytest.mark.usefixtures("integration")
def test_a_full_output_gives_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*FANBENCH, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "fanbench: standard output: No space left on device; make room, or write elsewhere\n"


@pytest.mark.usefixtures("integration")
def test_a_reader_that_stops_is_not_an_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        done = subprocess.run([*FANBENCH, "--help"], stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
