"""Logging without secrets; no client can flood the log."""

from __future__ import annotations

import logging
import re
import time
from urllib.parse import unquote_plus

from core.logs import log_to_stderr
from server.settings import ServerSettings

REPEAT_S = 10.0
_PARAMETER = re.compile(r"(?<=[?&])([^=&\s\"]+)=([^&\s\"]+)")


class Calm:
    """A filter that lets the same message through once in REPEAT_S seconds."""

    def __init__(self) -> None:
        self._next_s: dict[str, float] = {}

    def __call__(self, record: logging.LogRecord) -> bool:
        now_s = time.monotonic()
        if now_s < self._next_s.get(str(record.msg), 0.0):
            return False
        self._next_s[str(record.msg)] = now_s + REPEAT_S
        return True


def hide_token(record: logging.LogRecord) -> bool:
    """Replace `?token=…` in uvicorn's log of a request."""
    if isinstance(record.args, tuple):
        record.args = tuple(_PARAMETER.sub(_hidden, arg) if isinstance(arg, str) else arg for arg in record.args)
    return True


def _hidden(parameter: re.Match[str]) -> str:
    """The text with `***` for a token, however its name is spelled: `%74oken=` means the same to a server."""
    return f"{parameter[1]}=***" if unquote_plus(parameter[1]).lower() == "token" else parameter[0]


def set_up_logging(settings: ServerSettings) -> None:
    """Log to stderr, with the level and the format of the settings."""
    log_to_stderr(settings.log_level, settings.log_format)
    logging.getLogger("uvicorn.error").addFilter(Calm())
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, logging.getLogger().level))
    access = logging.getLogger("uvicorn.access")
    access.setLevel(logging.INFO)
    access.addFilter(hide_token)
