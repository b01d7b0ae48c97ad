"""What fanbench asks of its own children does not go by a proxy."""

import http.server
import json
import subprocess
import sys
import threading

from tests.bench.command import ROOT


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"ready": True}).encode())

    def log_message(self, *_):
        pass


def test_a_proxy_in_the_environment_is_passed_by():
    with http.server.HTTPServer(("127.0.0.1", 0), _Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = f"from bench.procs import get_json; print(get_json('http://127.0.0.1:{server.server_port}/stats'))"
        proxied = {"http_proxy": "http://127.0.0.1:1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", words], env=proxied, capture_output=True, text=True, timeout=60)
        server.shutdown()
    assert done.stdout.strip() == "{'ready': True}", done.stderr
