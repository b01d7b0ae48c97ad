"""`SSEUser`: what a foreign locustfile receives, and what Locust's table shows, in a separate Locust."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.elsewhere import put_decoys

ROOT = Path(__file__).parents[2]

LOCUSTFILE = """
import json, time
import gevent
from locust import events, task
from fanbench_locust import SSEUser

told, errors, notes = [], [], []

class Reader(SSEUser):
    path = "/lost"
    headers = {"X-Who": "reader"}
    tell_every = 2

    def on_event(self, event, stream):
        if event.data == "fail":
            raise ValueError("as they wrote it")
        if event.data == "sleep":
            gevent.sleep(1)
        self.heard = [*getattr(self, "heard", []), (event.event, event.data, event.id)]
        self.react(self.after, event.data)

    def after(self, data):
        gevent.sleep(0)
        self.reacted = [*getattr(self, "reacted", []), data]

    @task
    def other(self):
        lost, = self.streams
        timed = self.listen("/timed", name="timed", on_event=lambda event, stream: None)
        refused = self.listen("/refused?x=1")
        assert timed.wait_connected(30) and not refused.connected
        with timed.expect("asked", lambda event: event.data == "9", timeout_s=30) as ninth:
            self.listen("/ask", name="ask")
        never = timed.wait_event(lambda event: event.data == "never", timeout_s=0.1)
        while lost.connects < 2 or not lost.events >= 5:
            gevent.sleep(0.01)
        while not any(name == "/refused connect" for _, name, *_ in told):
            gevent.sleep(0.01)
        self.hang_up(refused)
        entries = self.environment.stats.entries  # told five times a second of what came
        while entries["timed", "SSE"].num_requests < 10 or entries["/lost gap between events", "SSE"].num_requests < 3:
            gevent.sleep(0.01)
        with open(OUT, "w") as file:
            json.dump({
                "heard": self.heard, "reacted": self.reacted, "ninth": ninth.event and ninth.event.data, "never": never,
                "streams": [one.name for one in self.streams], "told": told, "errors": errors, "notes": notes,
                "rows": {name: [e.num_requests, e.num_none_requests] for (name, _), e in self.environment.stats.entries.items()},
            }, file)
        self.environment.runner.quit()

@events.request.add_listener
def note(request_type, name, response_time, response_length, exception, **_):
    told.append((request_type, name, response_time, str(exception or "")))

@events.user_error.add_listener
def fail(user_instance, exception, tb, **_):
    errors.append(f"{type(exception).__name__}: {exception}")
    notes.extend(getattr(exception, "__notes__", []))

@classmethod
def sent_ns(cls, event):
    if event.data == "last":
        raise LookupError("as they wrote it")
    return 1 if event.data.isdigit() else None

Reader.sent_ns = sent_ns
"""


SAME = """
import json
import gevent
from locust import task
from fanbench_locust import SSEUser

class Reader(SSEUser):
    calls = heard = 0

    def on_event(self, event, stream):
        self.heard += 1

    @task
    def all_of_them(self):
        streams = [self.listen("/timed") for _ in range(8)]
        assert all(stream.wait_connected(30) for stream in streams)
        self.listen("/ask", name="ask")
        while self.heard < 80:
            gevent.sleep(0.01)
        with open(OUT, "w") as file:
            json.dump({"heard": self.heard, "calls": Reader.calls}, file)
        self.environment.runner.quit()

@classmethod
def sent_ns(cls, event):
    cls.calls += 1

Reader.sent_ns = sent_ns
"""


class Service(BaseHTTPRequestHandler):
    """`/lost` ends after three events and continues where the client asks; `/timed` sends once `/ask` was called."""

    asked = threading.Event()
    seen: list[dict[str, str]] = []  # noqa: RUF012 - emptied by the fixture

    def do_GET(self):
        self.seen.append(
            {"path": self.path} | {name: self.headers.get(name, "") for name in ("X-Who", "Last-Event-ID")}
        )
        if self.path.startswith("/refused"):
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"retry: 10\n: open\n\n")
        if self.path == "/ask":
            self.asked.set()
        if self.path == "/timed":
            self.asked.wait(60)
            self.wfile.write(b"".join(b"data: %d\n\n" % number for number in range(10)))
        if self.path == "/lost" and not self.headers.get("Last-Event-ID"):
            self.wfile.write(
                b"id: a\ndata: one\n\nevent: kind\ndata: fail\n\nid: c\nevent: kind\ndata: two\ndata: lines\n\n"
            )
            return
        if self.path == "/lost":
            self.wfile.write(b"id: d\ndata: sleep\n\ndata: last\n\n")
        self.rfile.read(1)  # until the client leaves

    def log_message(self, *_):
        """Log nothing."""


@pytest.fixture
def service(integration):
    Service.asked.clear()
    Service.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def locust(folder, text, host):
    """Run a locustfile in a folder where the user's own packages have our names."""
    (folder / "locustfile.py").write_text(text.replace("OUT", repr(str(folder / "out.json"))))
    command = [sys.executable, "-m", "locust", "--headless", "-u", "1", "-r", "1", "-t", "90s", "--host", host]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110)
    assert (folder / "out.json").exists(), done.stderr
    return json.loads((folder / "out.json").read_text())


def test_a_user_receives_its_streams_and_locust_counts_them(service, tmp_path):
    out = locust(tmp_path, LOCUSTFILE, service)
    assert out["heard"] == [["message", "one", "a"], ["kind", "two\nlines", "c"], ["message", "last", "d"]]
    assert out["reacted"] == ["one", "two\nlines", "last"]
    names = {error.partition(":")[0] for error in out["errors"]}
    assert names == {"ValueError", "BlockingSwitchOutError", "LookupError"}
    assert out["notes"] == ["on_event must not block; run a function that waits with self.react(function)"]
    assert (out["ninth"], out["never"]) == ("9", None)
    assert out["streams"] == ["/lost", "timed", "ask"]
    lost = [one for one in Service.seen if one["path"] == "/lost"]
    assert lost == [{"path": "/lost", "X-Who": "reader", "Last-Event-ID": last} for last in ("", "c")]
    told = [(name, failure) for _, name, _, failure in out["told"]]
    assert told.count(("/lost connect", "")) == 2
    assert told.count(("timed connect", "")) == told.count(("ask connect", "")) == told.count(("asked", "")) == 1
    assert ("/refused connect", "status 503 Service Unavailable: see the service's log") in told
    assert told.count(("/lost stream", "closed by the server")) == 1
    # Every second delivery is reported, each is counted. Those without a sending time are counted by the gaps between them.
    assert told.count(("timed", "")) == 5
    assert told.count(("/lost gap between events", "")) == 1
    assert out["rows"]["timed"] == [10, 0]
    assert (out["rows"]["/lost first event"], out["rows"]["/lost gap between events"]) == ([2, 0], [3, 0])
    assert "/lost" not in out["rows"]


def test_equal_reads_of_streams_with_one_name_are_parsed_once(service, tmp_path):
    assert locust(tmp_path, SAME, service) == {"heard": 80, "calls": 20}


def test_it_is_imported_beside_packages_that_are_named_like_ours_and_takes_no_name_of_theirs(tmp_path, integration):
    put_decoys(tmp_path)
    (tmp_path / "load" / "__init__.py").write_text("MINE = 1\n")
    (tmp_path / "load" / "users.py").write_text("MINE = 2\n")
    code = """
import sys
sys.path.insert(0, "")
from load import MINE
import fanbench_locust, load.users
assert fanbench_locust.SSEUser.__name__ == "SSEUser"
assert (MINE, load.users.MINE) == (1, 2), load.__file__
assert not any(name.partition(".")[0] == "core" for name in sys.modules)
from load.users import MINE
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
