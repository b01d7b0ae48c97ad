"""nats-server, provoked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brokers.conformance.provocations import Pending, Provocations, Restricted
from brokers.programs.catalogue import PROGRAMS
from brokers.programs.probe import answers
from brokers.programs.running import PASSWORD, USER, Running, launch
from core.ports import free_port
from core.process import spawn

_ALLOWED = "ours."


@contextmanager
def _restricted(folder: Path) -> Iterator[Restricted]:
    """A server whose user may use subjects that begin with `ours.` only."""
    port, folder = free_port(), folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    subjects = [f"{_ALLOWED}>", "_INBOX.>"]
    user = {"user": USER, "password": PASSWORD, "permissions": {"publish": subjects, "subscribe": subjects}}
    config = folder / "restricted.conf"
    settings = {"host": "127.0.0.1", "port": port, "authorization": {"users": [user]}}
    config.write_text(json.dumps(settings), encoding="utf-8")
    command: list[str | Path] = [PROGRAMS["nats"].require(), "-c", config]
    running = Running(
        name="nats",
        listeners={"nats": f"127.0.0.1:{port}"},
        data=folder / "data",
        spawn=lambda: spawn("nats", command, folder / "nats.log"),
        ready=lambda: answers(port, [(b"", b"INFO ")]),
    )
    with launch(running):
        yield Restricted(f"nats://{USER}:{PASSWORD}@127.0.0.1:{port}", _ALLOWED)


PROVOCATIONS = {
    "nats": Provocations(restricted=_restricted),
    "nats-jetstream": Provocations(),
}

_LATER = frozenset({"test_vanished_consumer_is_noticed", "test_not_here_any_more", "test_clean_up_leaves_nothing"})
PENDING: Pending = {"nats": _LATER, "nats-jetstream": _LATER | {"test_forbidden_topic_harms_no_other"}}
