"""A marked password goes through whole commands, and appears in nothing that they write or show."""

import json
import socket
import subprocess

import psutil
import pytest

from brokers.contenders import find_contender
from core.process import OWN_PYTHON
from tests.harness.command import FANBENCH, Started, command_line
from tests.waiting import wait_until

MARK = "m4rked-s3cret"
SMALL = ("--clients", 10, "--rate", 20, "--duration", 1, "--warmup", 0.5, "--rounds", 1, "--replicas", 1)


@pytest.fixture
def url(integration, tmp_path):
    """A broker whose user has the marked password."""
    with find_contender("valkey").launched(tmp_path / "broker") as broker:
        port = int(broker.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(f"ACL SETUSER probe on >{MARK} ~* &* +@all\r\n".encode())
            assert sock.recv(100) == b"+OK\r\n"
        yield f"redis://probe:{MARK}@127.0.0.1:{port}"


def shown_by_ps(started: Started) -> str:
    """Every command line of fanbench and its descendants, from its first output until it ends."""
    words: set[str] = set()
    fanbench = psutil.Process(started.process.pid)
    wait_until(lambda: "***" in " ".join(command_line(fanbench)), "it hides what it was given")

    def sampled_to_its_end() -> bool:
        started.look()
        words.update(" ".join(command_line(process)) for process in (fanbench, *started.seen))
        return started.process.poll() is not None

    wait_until(sampled_to_its_end, "the end of fanbench", 180, every_s=0.05)
    return "\n".join(words)


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    "command",
    [
        ("compare", "--repeats", 0),
        pytest.param(("faults", "--fault", "replica-kill", "--at", 0.2, "--for", 0.2), marks=pytest.mark.soak),
    ],
    ids=["compare", "faults"],
)
def test_a_marked_password_is_neither_written_nor_shown(command, url, tmp_path):
    out, log = tmp_path / "results", tmp_path / "terminal"
    started = Started(command[0], url, *command[1:], *SMALL, "--out", out, log=log)
    try:
        shown = shown_by_ps(started)
    finally:
        started.close()
    (folder,) = out.iterdir()
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert {"manifest.json", "summary.csv", "report.html", "generator.log", "replica-1.log"} <= {f.name for f in files}
    assert all(started_by in shown for started_by in ("-m server", "-m generator", "-m load", "probe:***@"))
    written = {str(file): file.read_bytes() for file in (*files, log)}
    assert [name for name, data in written.items() if MARK.encode() in data] == []
    assert MARK not in shown


SHOW = r"""
import json, os, sys
from harness.commands.arguments import hide_passwords
started_as = os.getpid(), dict(os.environ)
hide_passwords()
shown = open("/proc/self/cmdline", "rb").read().decode("utf-8", "replace").rstrip("\0")
print(json.dumps([shown, sys.argv[1:], started_as == (os.getpid(), dict(os.environ))]))
"""


def started(*given):
    """What `ps` shows for a program with these arguments, its `sys.argv`, and whether everything else is unchanged."""
    command = [*OWN_PYTHON, "-X", "utf8", "-c", SHOW, *given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


@pytest.mark.subprocess
@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["compare", "redis://probe:a-long-password@h:1/0", "-s", "smoke"], "compare redis://probe:***@h:1/0 -s smoke"),
        (["faults", *["redis://:x@h"] * 200], " ".join(["faults", *["redis://:***@h"] * 200])),
        (["compare", "redis://probe:\u00e4@h", "", "na\u00efve"], "compare redis://probe:***@h  na\u00efve"),
    ],
    ids=["long", "shorter-than-the-stars", "not-ascii"],
)
def test_ps_shows_stars_and_the_program_sees_what_it_was_given(given, shown):
    assert started(*given) == [f"fanbench {shown}", given, True]


@pytest.mark.subprocess
def test_bytes_that_are_not_text_are_hidden_too():
    assert started(b"redis://probe:\xff@h", b"\xfe")[0] == "fanbench redis://probe:***@h \ufffd"


@pytest.mark.subprocess
def test_without_a_password_nothing_changes():
    assert started("redis://h")[0].split("\0")[-1] == "redis://h"


@pytest.mark.subprocess
def test_a_password_that_cannot_be_hidden_is_refused():
    command = [*FANBENCH, "compare", f"redis://probe:{MARK}@h"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={})
    assert (done.returncode, done.stdout) == (2, "")
    assert "redis://probe:***@h from `ps`" in done.stderr
    assert "PATH" in done.stderr
    assert MARK not in done.stderr
