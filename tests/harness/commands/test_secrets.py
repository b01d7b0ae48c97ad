"""A marked password goes through whole commands: it is in nothing that they write or show."""

import socket

import psutil
import pytest

from brokers.contenders import find_contender
from tests.harness.command import Started, command_line
from tests.waiting import wait_until

MARK = "m4rked-s3cret"
SMALL = ("--clients", 10, "--rate", 20, "--duration", 1, "--warmup", 0.5, "--rounds", 1, "--replicas", 1)


@pytest.fixture
def url(tmp_path):
    """A broker whose user has the marked password."""
    with find_contender("valkey").launched(tmp_path / "broker") as broker:
        port = int(broker.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(f"ACL SETUSER probe on >{MARK} ~* &* +@all\r\n".encode())
            assert sock.recv(100) == b"+OK\r\n"
        yield f"redis://probe:{MARK}@127.0.0.1:{port}"


def shown_by_ps(started: Started) -> str:
    """Every command line of fanbench and its descendants, looked at from its first own word until it ends."""
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
    [("compare", "--repeats", 0), ("faults", "--fault", "replica-kill", "--at", 0.2, "--for", 0.2)],
    ids=["compare", "faults"],
)
def test_a_marked_password_is_in_nothing_that_is_written_or_shown(command, url, tmp_path):
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
