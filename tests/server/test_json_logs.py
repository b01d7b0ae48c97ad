"""FANBENCH_LOG_FORMAT=json: every line of a program's log is an object, including the last."""

import json
import logging
from datetime import datetime, timedelta

import pytest

from core.logs import JsonLines
from tests.server.program import run_to_end, running


def read(line):
    """The object on a line; its time has an offset."""
    found = json.loads(line)
    assert datetime.fromisoformat(found["time"]).utcoffset() is not None
    assert found["level"] in ("debug", "info", "warning", "error")
    assert found["logger"]
    return found


def test_each_line_of_a_replica_is_an_object(integration, tmp_path):
    with running(tmp_path, broker_url="memory://", log_format="json") as replica:
        pass
    found = [read(line) for line in replica.log.read_text().splitlines()]
    assert any(f"127.0.0.1:{replica.port}" in one["message"] for one in found)


@pytest.mark.parametrize("settings", [{"port": "none"}, {"broker_url": "redis://127.0.0.1:1"}])
def test_a_programs_last_line_is_an_object_too(integration, settings):
    done = run_to_end({"log_format": "json", **settings})
    assert done.returncode in (1, 2)
    found = [read(line) for line in done.stderr.splitlines()]
    assert found[-1]["level"] == "error"
    (value,) = settings.values()
    assert value in found[-1]["message"]


def test_a_record_of_several_lines_and_with_an_exception_is_one_line():
    error = ValueError("bad \udc80 value")
    info = (ValueError, error, None)
    record = logging.LogRecord("fanbench.server", logging.ERROR, "", 0, "two\nlines: %s", ("é\udcff",), info)
    record.created = 1_800_000_000.25
    line = JsonLines().format(record)
    assert "\n" not in line
    found = read(line)
    moment = datetime.fromisoformat(found["time"])
    assert moment - datetime.fromisoformat("2027-01-15T08:00:00.250+00:00") == timedelta(0)
    assert found["message"] == "two\nlines: é\udcff"
    assert "ValueError" in found["exception"]
