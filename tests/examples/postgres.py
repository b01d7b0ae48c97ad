"""A PostgreSQL server of the tests' own, with a password that is easily found where it must not be."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from brokers.programs.running import USER, Running, launch
from core.ports import free_ports
from core.process import spawn
from tests.waiting import wait_until

PASSWORD = "marked-s3cret"
INSTALL_HINT = "make brokers, or: apt-get install postgresql"


def find() -> Path | None:
    """The folder of initdb and postgres. Debian and brew keep them off the PATH, one folder for each version."""
    on_path = shutil.which("initdb")
    found = [Path(on_path)] if on_path else []
    for folder in ("/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"):
        found += Path(folder).glob("*/bin/initdb")
    return found[0].resolve().parent if found else None


@contextmanager
def postgres(programs: Path) -> Iterator[Running]:
    """A running server; `kill` and `start_again` are for faults. Its database is `postgres`."""
    (port,) = free_ports(1)
    with _folder() as (folder, as_user):
        data = folder / "data"
        _init(programs, data, as_user)
        server = [
            *(*as_user, programs / "postgres", "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1"),
            *("-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=50"),
        ]

        def start():
            # After a kill its processes go by themselves, and until then their shared memory keeps a new one out.
            wait_until(lambda: not _processes_in(data), "the last processes of the killed server end")
            return spawn("postgres", server, folder / "log", cwd=folder)

        running = Running(
            name="postgres",
            listeners={"postgres": f"127.0.0.1:{port}"},
            data=data,
            spawn=start,
            ready=lambda: _answers(programs, port),
            credentials=(USER, PASSWORD),
        )
        with launch(running):
            yield running


@contextmanager
def _folder():
    """A folder of the user that the server runs as, and how to become that user: PostgreSQL refuses to run as root."""
    folder = Path(tempfile.mkdtemp(prefix="fanbench-postgres-"))  # pytest's folders are closed to other users
    try:
        if os.geteuid() != 0:
            yield folder, []
            return
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        yield folder, ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _init(programs: Path, data: Path, as_user: list[str]) -> None:
    password = data.with_name("password")
    password.write_text(PASSWORD, encoding="utf-8")
    password.chmod(0o644)  # the folder is closed to others
    options = ["-U", USER, f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
    command = [*as_user, programs / "initdb", "-D", data, *options]
    done = subprocess.run(command, cwd=data.parent, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def _answers(programs: Path, port: int) -> bool:
    command = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(command, timeout=10, check=False).returncode == 0


def _processes_in(folder: Path) -> list[psutil.Process]:
    """Each process of a server has its data folder as working directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found
