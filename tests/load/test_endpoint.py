"""Locust at foreign services: ids reveal missing, duplicate and reordered events, and complete answers are counted.

Results over TLS behind nginx agree with another reader.
"""

import contextlib
import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import trustme

from core.ports import free_ports
from harness.runner.proxy import find_nginx
from tests.load.sse_service import EVENTS, TOKENS, Service
from tests.load.swarm import START_S, swarm
from tests.missing import missing
from tests.server.program import running
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("integration")
NGINX = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.pem;
        ssl_client_certificate {folder}/ca.pem;
        ssl_verify_client on;
        location / {{
            proxy_pass http://127.0.0.1:{app};
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_read_timeout 1h;
        }}
    }}
}}
"""


def test_events_left_out_doubled_and_swapped_are_found_by_their_ids(tmp_path):
    (tmp_path / "tokens").write_text("token-0\ntoken-1\ntoken-2\ntoken-3\n")
    (tmp_path / "ours.toml").write_text('id = "id"\n')
    options = ["--path", "/old/{topic}", "--dialect", tmp_path / "ours.toml", "--tokens", tmp_path / "tokens"]
    options += ["--header", "X-User: {user}", "--cookie", "sid=s{user}", "--query", "of={topic}"]
    with Service() as service, swarm(tmp_path, f"http://127.0.0.1:{service.port}") as started:
        run = started.locust("-u", "4", "-r", "4", *options)
        started.wait_status("clients", 4)
        started.wait_status("deliveries", EVENTS)  # the first client has them all, and defines the order
        service.release()
        started.wait_status("deliveries", 4 * EVENTS - 3)
        run.end()
        assert run.wait() == 0, run.text
        result = started.result()
    assert (result["deliveries"], result["received"], result["events"]) == (4 * EVENTS - 3, 4 * EVENTS - 3, EVENTS)
    assert (result["lost"], result["causes"]) == (3, {"unexplained": 3})
    assert (result["duplicated"], result["reordered"]) == (1, 1)
    assert result["streams"]["knows"] == ["identity"]
    assert (result["streams"]["redirects"], result["streams"]["opened"]) == (4, 4)
    assert not {"latency_ms", "hops_ms", "histograms"} & set(result)
    (refusal,) = result["refused"]
    assert refusal.startswith("status 429 Too Many Requests, Retry-After 0")
    asked = [(line, headers) for line, headers, _ in service.requests if line.startswith("GET /events/")]
    assert {line for line, _ in asked} == {"GET /events/events?of=events HTTP/1.1"}
    users = sorted((headers["x-user"], headers["authorization"], headers["cookie"]) for _, headers in asked)
    assert users == [(str(n), f"Bearer token-{n}", f"sid=s{n}") for n in range(4)]
    assert "token-" not in run.text + json.dumps(result)


def test_answers_to_a_post_are_counted_whole_until_the_service_says_stop(tmp_path):
    answers, cut = 12, 3
    (tmp_path / "chat.toml").write_text('end = "[DONE]"\n')
    body = tmp_path / "body.json"
    body.write_text('{"stream":true,"messages":[{"role":"user","content":"user {user}"}]}')
    options = ["--path", "/answers", "--method", "POST", "--body", f"@{body}", "--pause", "0.05"]
    with Service(answers) as service, swarm(tmp_path, f"http://127.0.0.1:{service.port}") as started:
        run = started.locust("-u", "3", "-r", "3", "--dialect", tmp_path / "chat.toml", *options)
        started.wait_status("deliveries", answers * TOKENS)
        wait_until(lambda: service.stopped == 3, "all told to stop", START_S)
        run.end()
        assert run.wait() == 0, run.text
        result = started.result()
    streams = result["streams"]
    assert (result["deliveries"], streams["opened"], streams["whole"]) == (answers * TOKENS, answers, answers - cut)
    assert result["disconnects"] == {"ended without '[DONE]'": cut}
    assert result["refused"] == {"status 204 No Content: the server says stop": 3}
    assert streams["first_event_ms"]["p50"] <= streams["answer_ms"]["p50"]
    assert result["problems"] == []
    assert {json.loads(sent)["messages"][0]["content"] for _, _, sent in service.requests} == {
        "user 0", "user 1", "user 2",
    }  # fmt: skip


def test_a_replica_of_ours_behind_options_is_measured_without_comparing_clocks(tmp_path):
    with (
        running(tmp_path, broker_url="memory://", rate_hz=50) as replica,
        swarm(tmp_path, f"http://127.0.0.1:{replica.port}") as started,
    ):
        run = started.locust("-u", "2", "-r", "2", "--header", "X-User: {user}")
        started.wait_status("deliveries", 20)
        run.end()
        assert run.wait() == 0, run.text
        result = started.result()
    assert (result["problems"], result.get("clocks")) == ([], None)
    assert result["streams"]["knows"] == ["stamp", "identity", "time"]
    assert result["hops_ms"]["fanout"]["p50"] >= 0


class OtherReader(threading.Thread):
    """Another client, made only from the standard library."""

    def __init__(self, port, folder, events):
        super().__init__(daemon=True)
        self._events = events
        context = ssl.create_default_context(cafile=folder / "ca.pem")
        context.load_cert_chain(folder / "client.pem")
        self._connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=START_S)
        self.numbers = []
        self.latencies_ms = []

    def run(self):
        self._connection.request("GET", "/events/events")
        answer = self._connection.getresponse()
        while len(self.numbers) < self._events:
            line = answer.readline()
            if line.startswith(b"data: "):
                data = json.loads(line[6:])
                self.numbers.append(data["n"])
                self.latencies_ms.append(time.time() * 1000 - data["ts"])


@contextlib.contextmanager
def starlette_behind_nginx(folder: Path, clients: int, events: int):
    """The port of nginx, which requires a client certificate."""
    nginx = find_nginx() or missing("nginx is not installed; run `make brokers`")
    port, app_port = free_ports(2)
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    ca.issue_cert("shop.test", "localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    ca.issue_cert("client@shop.test").private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, app=app_port))
    app = [sys.executable, Path(__file__).with_name("starlette_app.py"), str(app_port), str(clients), str(events)]
    commands = [app, [nginx, "-p", folder, "-c", config, "-e", folder / "nginx-error.log", "-g", "daemon off;"]]
    with (folder / "programs.log").open("wb") as log:
        programs = [
            subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=os.environ)
            for command in commands
        ]

    def ready():
        said = (folder / "programs.log").read_text()
        assert all(program.poll() is None for program in programs), said
        connection = http.client.HTTPConnection("127.0.0.1", app_port, timeout=5)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200 and (folder / "nginx.pid").exists()
        except OSError:
            return False
        finally:
            connection.close()

    try:
        wait_until(ready, "app and nginx ready", START_S, 0.1)
        yield port
    finally:
        for program in programs:
            program.terminate()
        for program in programs:
            program.wait(20)


def test_tls_behind_nginx_agrees_with_another_reader(tmp_path):
    pytest.importorskip("sse_starlette")
    users, events = 5, 100
    (tmp_path / "shop.toml").write_text('id = "{stream}-{seq}"\nsent = "data.ts"\nunit = "ms"\n')
    tls = ["--ca-file", tmp_path / "ca.pem", "--client-cert", tmp_path / "client.pem", "--sni", "shop.test"]
    options = ["-u", str(users), "-r", "5", "--path", "/events/{topic}", "--dialect", tmp_path / "shop.toml", *tls]
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(starlette_behind_nginx(tmp_path, users + 1, events))
        started = stack.enter_context(swarm(tmp_path, f"https://127.0.0.1:{port}"))
        run = started.locust(*options)
        started.wait_status("clients", users)
        other = OtherReader(port, tmp_path, events)
        other.start()
        started.wait_status("deliveries", users * events)
        other.join(START_S)
        run.end()
        assert run.wait() == 0, run.text
        result = started.result()
    assert other.numbers == list(range(events))
    assert (result["deliveries"], result["events"], result["lost"]) == (users * events, events, 0)
    assert (result["duplicated"], result["reordered"], result["problems"]) == (0, 0, [])
    assert result["streams"]["knows"] == ["identity", "time"]
    assert result["latency_ms"]["p50"] == pytest.approx(sorted(other.latencies_ms)[events // 2], rel=0.02, abs=1)
    assert "hops_ms" not in result
    bound = result["streams"]["clock_offset_ms"]
    assert bound["low_ms"] <= 1  # one machine, one clock
    assert bound["high_ms"] >= -1
