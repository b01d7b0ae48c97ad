"""Typed messages over Locust's connection between master and workers; Locust's runner is passed in."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from core.contracts.codec import Document, DocumentError, decode, encode

log = logging.getLogger("fanbench.load")

M = TypeVar("M", bound=Document)


def message_name(kind: type[Document]) -> str:
    """Locust's name for a message of that kind."""
    return f"fanbench-{kind.__name__.lower()}"


class Channel:
    """One process's end."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner

    def listen(self, kind: type[M], listener: Callable[[str, M], None], *, apart: bool = False) -> None:
        """Call the listener with the sender's name and the message; with `apart` in a separate greenlet."""

        def read(msg: Any, **_: Any) -> None:
            try:
                message = decode(kind, msg.data, f"message {kind.__name__} from {msg.node_id}")
            except DocumentError as error:
                log.error("%s", error)  # noqa: TRY400 - Locust would print a traceback
                return
            listener(msg.node_id, message)

        self._runner.register_message(message_name(kind), read, concurrent=apart)

    def send(self, message: Document, to: str | None = None) -> None:
        """Send to the master, or to the worker of that name."""
        self._runner.send_message(message_name(type(message)), encode(message), client_id=to)
