"""fanbench's requests to its own children: without a proxy, and the reaction to an invalid or missing answer."""

import http.server
import json
import subprocess
import sys
import threading

import pytest

from brokers.contenders import find_contender
from core.contracts.codec import DocumentError, write
from core.contracts.load_orders import LoadOrder
from core.contracts.load_status import LoadStatus
from core.errors import FanbenchError
from core.ports import free_port
from core.process import spawn
from harness.runner import testbed
from harness.runner.host import local_ports, most_clients
from harness.runner.processes import Load, ReplicaProcess, replica_limits
from load.control import Control
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
def test_a_proxy_in_the_environment_is_ignored():
    with http.server.HTTPServer(("127.0.0.1", 0), _Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = f"from harness.runner.processes import get; print(get('http://127.0.0.1:{server.server_port}/stats').decode())"
        proxied = {"http_proxy": "http://127.0.0.1:1"}
        done = subprocess.run([sys.executable, "-c", words], env=proxied, capture_output=True, text=True, timeout=60)
        server.shutdown()
    assert done.stdout.strip() == '{"ready": true}', done.stderr


@pytest.fixture
def replica(tmp_path):
    """A replica's process on a port where nothing listens."""
    return ReplicaProcess("replica-1", free_port(), {}, tmp_path, child=None)


def test_a_replica_that_is_dead_has_no_stats(replica):
    assert replica.stats() is None
    bed = testbed.Testbed(find_contender("memory"), None, None, [replica], None, [], [], None)
    assert bed.stats() == [None]
    assert bed.connected() == 0


@pytest.mark.subprocess
def test_clients_of_a_silent_replica_do_not_count_as_none(replica, tmp_path):
    replica.child = spawn("replica-1", [sys.executable, "-c", "print('out of memory')"], tmp_path / "log")
    replica.child.wait(30)
    with pytest.raises(FanbenchError, match=f"{replica.url}/stats: no answer; .*out of memory"):
        testbed.Testbed(find_contender("memory"), None, None, [replica], None, [], [], None).clients_of_topics()


def test_an_invalid_stats_answer_is_named_by_address_and_field(replica):
    with http.server.HTTPServer(("127.0.0.1", replica.port), _Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(DocumentError, match=f"^{replica.url}/stats: field 'server' is missing"):
            replica.stats()
        server.shutdown()


def test_the_loads_result_is_read_and_mismatches_are_named(tmp_path):
    load = Load(None, tmp_path / "out", tmp_path / "status", tmp_path / "control")
    assert load.status() == LoadStatus()
    write(LoadStatus(clients=3, reached=2, deliveries=1), load.status_file)
    assert load.status().reached == 2
    load.status_file.write_text('{"version":1,"connected":3}')
    with pytest.raises(DocumentError, match=f"^{load.status_file}: field 'connected' is unknown"):
        load.status()


def test_the_load_follows_its_orders(tmp_path):
    load = Load(None, tmp_path / "out", tmp_path / "status", tmp_path / "control")
    control = Control(load.control)
    orders = [LoadOrder(do="mark", at_ns=7), LoadOrder(do="stall", share=0.1, for_s=2, at_ns=8)]
    for order in orders:
        load.tell(order)
    assert control.orders() == orders


def test_a_replica_accepts_what_the_scenario_needs():
    own = ServerSettings(_cli_parse_args=[])
    usual = ServerSettings(_cli_parse_args=[], **replica_limits(made_up.SCENARIO))
    assert usual == own
    large = made_up.SCENARIO.with_fields(clients=18_000, payload_bytes=1_048_576)
    raised = ServerSettings(_cli_parse_args=[], **replica_limits(large))
    assert raised.max_clients > 18_000
    assert raised.max_event_bytes > 1_048_576
    assert raised.client_buffer_bytes > raised.max_event_bytes


def test_clients_are_limited_by_descriptors_and_by_ports():
    assert 0 < most_clients(1, 1) <= local_ports()
    assert most_clients(1, 1) <= most_clients(64, 1)
