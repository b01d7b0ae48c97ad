"""What fanbench asks of its own children does not go by a proxy."""

import http.server
import json
import subprocess
import sys
import threading

import pytest

from harness.runner.host import local_ports, most_clients
from harness.runner.processes import replica_limits
from server.settings import ServerSettings
from tests.harness import made_up


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"ready": True}).encode())

    def log_message(self, *_):
        pass


@pytest.mark.subprocess
def test_a_proxy_in_the_environment_is_passed_by():
    with http.server.HTTPServer(("127.0.0.1", 0), _Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = f"from harness.runner.processes import get; print(get('http://127.0.0.1:{server.server_port}/stats').decode())"
        proxied = {"http_proxy": "http://127.0.0.1:1"}
        done = subprocess.run([sys.executable, "-c", words], env=proxied, capture_output=True, text=True, timeout=60)
        server.shutdown()
    assert done.stdout.strip() == '{"ready": true}', done.stderr


def test_a_replica_takes_what_the_scenario_brings():
    own = ServerSettings(_cli_parse_args=[])
    usual = ServerSettings(_cli_parse_args=[], **replica_limits(made_up.SCENARIO))
    assert usual == own
    large = made_up.SCENARIO.with_fields(clients=18_000, payload_bytes=1_048_576)
    raised = ServerSettings(_cli_parse_args=[], **replica_limits(large))
    assert raised.max_clients > 18_000
    assert raised.max_event_bytes > 1_048_576
    assert raised.client_buffer_bytes > raised.max_event_bytes


def test_clients_are_bound_by_descriptors_and_by_ports():
    assert 0 < most_clients(1) <= local_ports()
    assert most_clients(1) <= most_clients(64)
