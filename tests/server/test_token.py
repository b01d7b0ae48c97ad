"""The token: any printable text, compared as bytes, whichever way a client sends it."""

import socket
import traceback
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from core.errors import UsageError
from core.settings import read_settings
from core.token import read_token_file
from load.settings import read_settings as read_load_settings
from server.settings import ServerSettings
from tests.server.program import Replica, SseClient, run_to_end, running

TOKENS = {
    "words": "correct horse battery staple",
    "signs": "a+b/c=d&e?f%20#g\"'\\",
    "Latin": "schl\u00fcssel-\u00df",
    "beyond Latin": "\u30ad\u30fc-\u043a\u043b\u044e\u0447-\U0001f511",
}


@pytest.mark.parametrize("kind", TOKENS)
def test_any_printable_token_lets_in(valkey: str, folder: Path, kind: str) -> None:
    token = TOKENS[kind]
    with running(folder, broker_url=valkey, token=token, access_log="true") as replica:
        assert replica.get("/stats")[0] == 401
        assert replica.get(f"/stats?token={quote(token, safe='')}")[0] == 200
        assert status(replica, token.encode()) == 200
        if kind == "Latin":  # a browser's fetch sends only these
            assert status(replica, token.encode("latin-1")) == 200
        for wrong in (token[:-1], token + "x", token.swapcase(), token.encode().decode("latin-1") + "x"):
            assert status(replica, wrong.encode()) == 401
        assert status(replica, b"\xff\xfe") == 401
        if kind == "beyond Latin":  # its characters must not count as the question marks that stand for them in Latin-1
            assert status(replica, token.encode("latin-1", "replace")) == 401
        assert replica.get(f"/stats?%74oken={quote(token, safe='')}")[0] == 200
        with SseClient(replica.port, f"/sse?token={quote(token, safe='')}") as client:
            client.opened()
        assert token not in replica.log.read_text()
        assert quote(token, safe="") not in replica.log.read_text()


def status(replica: Replica, token: bytes) -> int:
    """The status of /stats with these bytes as the bearer token."""
    with socket.create_connection(("127.0.0.1", replica.port), timeout=20) as sock:
        sock.sendall(b"GET /stats HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + b"\r\n\r\n")
        return int(sock.recv(1 << 16).split(b" ")[1])


@pytest.mark.usefixtures("integration")
@pytest.mark.parametrize(
    "token", ["s3cret-t0ken ", " s3cret-t0ken", "s3cret\tt0ken", "s3cret-t0ken\n", "s3cret\x07t0ken", " "]
)
def test_a_token_that_no_client_can_send_is_refused_at_the_start_and_not_shown(token: str) -> None:
    ended = run_to_end({"token": token})
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert "FANBENCH_TOKEN" in line
    assert "printable" in line
    assert "s3cret" not in ended.stderr + ended.stdout


@pytest.mark.usefixtures("integration")
def test_the_token_from_a_file(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("correct horse\r\nanother line\n")
    with running(folder, token_file=secret) as replica:
        assert status(replica, b"correct horse") == 200
        assert status(replica, b"another line") == 401
    secret.write_text("\ufeffs3cret-t0ken\n")  # as editors on Windows write it
    assert read_token_file(secret) == "s3cret-t0ken"
    for text, says in (("\nx", "its first line is empty"), ("s3cret-t0ken \n", "printable"), (None, "No such file")):
        secret.unlink()
        if text is not None:
            secret.write_text(text)
        ended = run_to_end({"token_file": secret})
        assert ended.returncode == 2
        (line,) = ended.stderr.strip().splitlines()
        assert says in line
        assert "s3cret" not in line


@pytest.mark.usefixtures("integration")
def test_a_token_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret-t0ken")
    ended = run_to_end({"token": "s3cret-t0ken", "token_file": tmp_path / "token"})
    assert (ended.returncode, "leave one out" in ended.stderr, "s3cret" in ended.stderr) == (2, True, False)


def test_a_url_that_is_refused_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANBENCH_BROKER_URL", "redis://u:hunter22@h/?ca_file=x/\udcff")
    with pytest.raises(UsageError, match=r"FANBENCH_BROKER_URL='redis://\*\*\*'") as refused:
        read_settings(ServerSettings)
    assert "hunter22" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("token", ["s3cret-t0ken\r\nX-Admin: 1", "s3cret-t0ken "])
def test_the_load_refuses_it_too_and_does_not_show_it(token: str) -> None:
    with pytest.raises(UsageError, match=r"--token \*\*\*: a token is printable") as refused:
        read_load_settings(SimpleNamespace(token=token))
    assert "s3cret" not in "".join(traceback.format_exception(refused.value))
