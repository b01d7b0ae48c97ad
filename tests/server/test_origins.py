"""Which origins may read the streams: the settings must use the form that browsers send."""

import re
from collections.abc import Iterator

import pytest

from server.origins import read_origins
from tests.server.program import Replica, SseClient, run_to_end, running

NAMED = "https://example.org"
ASK = {"Origin": NAMED}


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", []),
        ("*", ["*"]),
        ("https://example.org, http://localhost:3000", ["https://example.org", "http://localhost:3000"]),
        ("http://[::1]:8080,", ["http://[::1]:8080"]),
        ("https://xn--bcher-kva.example", ["https://xn--bcher-kva.example"]),
        ("http://a.example:443", ["http://a.example:443"]),
    ],
)
def test_origins_as_browsers_send_them(text: str, origins: list[str]) -> None:
    assert read_origins(text) == origins


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("https://example.org/", "write https://example.org"),
        ("https://example.org/page", "write https://example.org"),
        ("https://example.org:443", "write https://example.org"),
        ("http://example.org:80", "write http://example.org"),
        ("HTTPS://example.org", "write https://example.org"),
        ("https://Example.org", "write https://example.org"),
        ("https://user@example.org", "write https://example.org"),
        ("example.org", "https://example.org"),
        ("localhost:3000", "https://example.org"),
        ("//example.org", "https://example.org"),
        ("null", "https://example.org"),
        ("https://*.example.org", "no wildcard"),
        ("https://b\u00fccher.example", "xn--"),
        ("https://a.example:99999", "https://example.org"),
        ("http://[::1", "https://example.org"),
        ("https://good.example,https://bad.example/", "write https://bad.example"),
    ],
)
def test_an_origin_that_can_never_match_is_refused_at_the_start(text: str, step: str) -> None:
    with pytest.raises(ValueError, match=re.escape(step)):
        read_origins(text)


@pytest.mark.usefixtures("integration")
def test_the_program_says_so_in_one_line() -> None:
    ended = run_to_end({"cors_origins": "https://example.org/"})
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert "FANBENCH_CORS_ORIGINS" in line
    assert "write https://example.org" in line


@pytest.fixture(scope="module")
def named(valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    folder = tmp_path_factory.mktemp("named")
    with (
        running(folder, broker_url=valkey, cors_origins=f"{NAMED},http://localhost:3000", max_clients=1) as replica,
        SseClient(replica.port) as only,
    ):
        only.opened()
        yield replica


@pytest.fixture(scope="module")
def anyone(valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with running(tmp_path_factory.mktemp("anyone"), broker_url=valkey, cors_origins="*") as replica:
        yield replica


@pytest.mark.parametrize(
    "header",
    ["authorization", "last-event-id", "cache-control", "pragma", "x-requested-with", "accept", "content-type"],
)
def test_a_fetch_client_may_send_its_headers(named: Replica, header: str) -> None:
    preflight = ASK | {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": header}
    status, body, headers = named.ask("OPTIONS", "/sse", preflight)
    assert status == 200, body
    assert header in headers["access-control-allow-headers"].lower()
    assert headers["access-control-allow-credentials"] == "true"
    assert headers["access-control-allow-origin"] == NAMED


@pytest.mark.parametrize(
    ("path", "status"), [("/stats", 200), ("/sse?topic=%20", 400), ("/sse", 503), ("/nothing", 404)]
)
def test_a_page_may_read_every_answer_and_retry_after(named: Replica, path: str, status: int) -> None:
    found, _, headers = named.get(path, ASK)
    assert found == status
    assert headers["access-control-allow-origin"] == NAMED
    assert headers["access-control-allow-credentials"] == "true"
    assert headers["access-control-expose-headers"].lower() == "retry-after"
    assert "origin" in headers["vary"].lower()


def test_every_origin_is_allowed_without_credentials(anyone: Replica) -> None:
    _, _, headers = anyone.get("/stats", ASK)
    assert headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in headers
