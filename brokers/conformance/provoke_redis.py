"""Redis and Valkey, provoked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from brokers.conformance.provocations import Pending, Provocations, Restricted
from brokers.programs.catalogue import PROGRAMS
from brokers.programs.probe import answers
from brokers.programs.running import PASSWORD, USER, Running, launch
from core.ports import free_port
from core.process import spawn

_ALLOWED = "ours."
_ACL = f"user default off\nuser {USER} on >{PASSWORD} ~* &{_ALLOWED}* +@all\n"


@contextmanager
def _restricted(program: str, folder: Path) -> Iterator[Restricted]:
    """A server whose user may use channels that begin with `ours.` only."""
    port, folder = free_port(), folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    users = folder / "restricted.acl"
    users.write_text(_ACL, encoding="utf-8")
    command: list[str | Path] = [PROGRAMS[program].require(), "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--aclfile", users, "--save", ""]
    running = Running(
        name=program,
        listeners={"redis": f"127.0.0.1:{port}"},
        data=folder / "data",
        spawn=lambda: spawn(program, command, folder / f"{program}.log", cwd=folder),
        ready=lambda: answers(port, [(b"PING\r\n", b"-NOAUTH")]),
    )
    with launch(running):
        yield Restricted(f"redis://{USER}:{PASSWORD}@127.0.0.1:{port}", _ALLOWED)


PROVOCATIONS = {name: Provocations(restricted=partial(_restricted, name)) for name in ("valkey", "redis")} | {
    name: Provocations() for name in ("valkey-streams", "redis-streams")
}

_LATER = frozenset({"test_vanished_consumer_is_noticed", "test_not_here_any_more", "test_clean_up_leaves_nothing"})
PENDING: Pending = {
    "valkey": _LATER,
    "redis": _LATER,
    "valkey-streams": _LATER | {"test_forbidden_topic_harms_no_other"},
    "redis-streams": _LATER | {"test_forbidden_topic_harms_no_other"},
}
