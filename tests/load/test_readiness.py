"""`--wait`: a load that is started together with its replicas."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from core.endpoint.origin import parse_origin
from core.errors import FanbenchError
from core.ports import free_port
from load.readiness import wait_ready


@pytest.fixture
def slow_starter() -> Iterator[tuple[str, list[str]]]:
    """A replica that answers 503 twice and then 200, and the requested paths."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(503 if len(asked) < 3 else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/prefix", asked
        server.shutdown()
        thread.join()


def test_it_asks_until_the_replica_is_ready(slow_starter: tuple[str, list[str]]) -> None:
    url, asked = slow_starter
    wait_ready([parse_origin(url)], 30)
    assert asked == ["/prefix/readyz"] * 3


def test_a_replica_that_never_comes_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(FanbenchError, match=f"replica {url} is not ready after 0.1 s"):
        wait_ready([parse_origin(url)], 0.1)
