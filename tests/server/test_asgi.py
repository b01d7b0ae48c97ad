"""The application under other ASGI servers, where every stream uses `send`, and under a prefix."""

import signal
import subprocess
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from core.ports import free_port
from core.process import OWN_PYTHON
from server.app import create_app
from server.settings import ServerSettings
from tests.server.program import Publisher, Replica, SseClient, environment, run_to_end, running
from tests.waiting import wait_until

COMMANDS = {
    "uvicorn, two workers": ["-m", "uvicorn", "server.asgi:app", "--workers", "2", "--port", "{port}"],
    "hypercorn, two workers": ["-m", "hypercorn", "server.asgi:app", "--workers", "2", "--bind", "127.0.0.1:{port}"],
}


@contextmanager
def served(command: list[str], folder: Path, **settings: object) -> Iterator[Replica]:
    """The application under another server, ready."""
    port = free_port()
    log = folder / f"asgi-{port}.log"
    words = [*OWN_PYTHON, *(word.format(port=port) for word in command)]
    with log.open("wb") as output:
        process = subprocess.Popen(words, env=environment(settings), stdout=output, stderr=output)
    replica = Replica(process, port, log)  # type: ignore[arg-type]
    try:
        replica.wait_ready()
        yield replica
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@pytest.mark.parametrize("name", COMMANDS)
def test_two_workers_of_another_server_serve_the_same_events(
    valkey: str, publisher: Publisher, folder: Path, name: str
) -> None:
    with served(COMMANDS[name], folder, broker_url=valkey, topic_linger_s=60) as replica:
        clients: list[SseClient] = []

        def both_serve() -> bool:
            clients.append(SseClient(replica.port).opened())
            return len(clients) >= 20 and len({client.body.split(b"\n")[0] for client in clients}) == 2

        wait_until(both_serve, "a stream of each worker, which have a name each", 30)
        stamps = publisher.events(5)
        for client in clients:
            assert client.take_ids(5) == [stamp.id for stamp in stamps]
        with SseClient(replica.port, headers={"Last-Event-ID": stamps[1].id}) as again:
            assert again.take_ids(3) == [stamp.id for stamp in stamps[2:]]
        assert replica.get("/sse?topic=%20")[0] == 400
        assert replica.get("/stats")[0] == 200
        replica.process.terminate()
        for client in clients:
            client.read_to_end()
            # hypercorn does not notify its workers, and cuts open connections after its graceful_timeout.
            assert client.terminated or name.startswith("hypercorn")
        assert replica.process.wait(20) in (0, -signal.SIGTERM)
    assert "Traceback" not in replica.log.read_text() or name.startswith("hypercorn")


@pytest.mark.usefixtures("integration")
@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
def test_a_missing_broker_ends_a_worker_with_one_line(server: str, folder: Path) -> None:
    address = ["--port", "0"] if server == "uvicorn" else ["--bind", "127.0.0.1:0"]
    command = [*OWN_PYTHON, "-m", server, "server.asgi:app", *address]
    url = f"redis://user:sekret@127.0.0.1:{free_port()}"
    ended = subprocess.run(
        command, env=environment({"broker_url": url}), capture_output=True, text=True, timeout=60, check=False
    )
    assert "cannot connect" in ended.stderr
    assert "sekret" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_prefix_that_the_server_puts_back(valkey: str, publisher: Publisher, folder: Path) -> None:
    """uvicorn's --root-path: it precedes the path that a proxy has stripped, like a mount's prefix."""
    command = ["-m", "uvicorn", "server.asgi:app", "--root-path", "/live", "--port", "{port}"]
    with served(command, folder, broker_url=valkey) as replica, SseClient(replica.port) as client:
        client.opened()
        stamp = publisher.event()
        assert client.take_ids(1) == [stamp.id]
    assert "Traceback" not in replica.log.read_text()


@pytest.mark.parametrize("path", ["/sse", "/readyz", "/clock", "/"])
async def test_a_server_without_lifespan_gets_an_answer_that_says_so(path: str) -> None:
    """As if the application is mounted in another one, which does not run its lifespan automatically."""
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("nothing is read")

    def never() -> NoReturn:
        raise AssertionError("it is not started")

    around = {"type": "http", "method": "GET", "path": f"/events{path}", "root_path": "/events"}
    await create_app(ServerSettings(), never)(around | {"headers": [], "query_string": b""}, receive, send)
    assert [message.get("status", 503) for message in sent] == [503, 503]
    assert b"lifespan" in sent[1]["body"]


def test_a_prefix_that_the_proxy_keeps(valkey: str, publisher: Publisher, folder: Path) -> None:
    with running(folder, broker_url=valkey, root_path="/live/events") as replica:
        for prefix in ("/live/events", ""):  # a health check comes without the prefix
            with SseClient(replica.port, f"{prefix}/sse") as client:
                client.opened()
                stamp = publisher.event()
                assert client.take_ids(1) == [stamp.id]
            for path, expected in (("/stats", 200), ("/readyz", 200), ("/", 200), ("/app.js", 200), ("/nothing", 404)):
                assert replica.get(prefix + path)[0] == expected, prefix + path
        status, body, _ = replica.get("/live/events")
        assert (status, b"<html" in body) == (200, True), "urllib follows to the page, whose addresses are relative"
        assert replica.get("/live/eventsource")[0] == 404
        assert replica.get("/live")[0] == 404


@pytest.mark.subprocess
@pytest.mark.parametrize("root_path", ["events", "/events/", "/a b", "//", "/a?b"])
def test_an_invalid_prefix_is_refused(root_path: str) -> None:
    ended = run_to_end({"root_path": root_path})
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert "FANBENCH_ROOT_PATH" in line
    assert "/events" in line
