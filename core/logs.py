"""How the programs log: lines for people, or JSON objects for a collector."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import datetime
from typing import Literal

LogFormat = Literal["text", "json"]
_VARIABLE = "FANBENCH_LOG_FORMAT"
_TEXT = "%(asctime)s %(name)s %(levelname)s %(message)s"


class JsonLines(logging.Formatter):
    """One JSON object per line: `time` (ISO 8601 with UTC offset), `level`, `logger`, `message`, and `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; characters that JSON cannot contain are escaped."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        found = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found)


def log_to_stderr(level: str, form: LogFormat) -> None:
    """Log to stderr, from this level on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler])


def say_last(words: str) -> None:
    """Write to stderr why a program ends, in the format of its log, even if the log was not set up."""
    formatters = [handler.formatter for handler in logging.getLogger().handlers]
    form = next((one for one in formatters if isinstance(one, JsonLines)), None)
    if form is None and os.environ.get(_VARIABLE) == "json":
        form = JsonLines()
    if form is not None:
        words = form.format(logging.LogRecord("fanbench", logging.ERROR, "", 0, "%s", (words,), None))
    print(words, file=sys.stderr)
