"""Conductor and generator meet over real connections of this process: who is welcome, what a stranger learns, and TLS."""

import asyncio
import socket
import ssl
import time

import pytest
import trustme

from core.contracts.codec import DocumentError, decode, encode
from core.contracts.load_status import WorkerUsage
from core.errors import FanbenchError
from generator.conductor import readable
from generator.join_greeting import connected, greeted
from generator.join_link import GREETING_BYTES, MemberConnection
from generator.messages import SILENT_S, ConductorTells, MemberTells
from generator.settings import GeneratorSettings

SECRET, OTHER = "a-m4rked-s3cret-of-32-characters", "an0ther-s3cret-of-32-characters!"
USAGE = WorkerUsage(name="host 7", cpu_s=0.0, rss_bytes=0, at_s=0.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The settings of TLS for a conductor at 127.0.0.1, for those that trust its authority, and for those that trust another."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "conductor.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other.pem")
    return {
        "conductor": {"join_cert": folder / "conductor.pem"},
        "trusting": {"join_ca_file": folder / "ca.pem"},
        "another name": {"join_ca_file": folder / "ca.pem", "join_sni": "fanbench.test"},
        "distrusting": {"join_ca_file": folder / "other.pem"},
    }


class Heard:
    """A connection's socket that keeps what is sent and received, as somebody in between would."""

    def __init__(self, sock):
        self._sock = sock
        self.said = b""

    def __getattr__(self, name):
        return getattr(self._sock, name)

    def sendall(self, data):
        self.said += data
        self._sock.sendall(data)

    def recv(self, most):
        piece = self._sock.recv(most)
        self.said += piece
        return piece


def conduct(listener, settings, overheard):
    """Take one connection; why it is rejected, or nothing, or that it ended before it asked to join."""
    sock, _ = listener.accept()
    tls = settings.conductor_tls()
    heard = sock if tls is not None else Heard(sock)
    connection = MemberConnection(heard, "there", tls)
    try:
        connection.greet()
        while connection.wish is None:
            readable([connection.fileno()])
            connection.news()
        return connection.answer(settings.secret, settings.run_name)
    except (OSError, EOFError, DocumentError):
        return "ended"
    finally:
        if tls is None:
            overheard.append(heard.said)
        connection.close()


async def meet(conductor, generator):
    """What the conductor says of the generator, what became of the generator, and what was said in the clear."""
    overheard = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        conducting = asyncio.create_task(asyncio.to_thread(conduct, listener, conductor, overheard))
        writer = None
        try:
            reader, writer = await connected(generator, "127.0.0.1", listener.getsockname()[1])
            outcome = await greeted(generator, reader, writer, USAGE)
        except FanbenchError as error:
            outcome = str(error)
        finally:
            if writer is not None:
                writer.close()
        return await conducting, outcome, b"".join(overheard)


@pytest.mark.parametrize(
    ("conducts", "joins", "reason"),
    [
        ({}, {}, ""),
        ({"join_secret": SECRET}, {"join_secret": SECRET}, ""),
        ({"join_secret": SECRET}, {}, "this run requires a secret; set the run's FANBENCH_JOIN_SECRET"),
        ({"join_secret": SECRET}, {"join_secret": OTHER}, "its secret differs from the run's; set the same"),
        ({}, {"join_secret": SECRET}, "the generator has a secret, and the run has none; set the same"),
        ({"run_name": "mine"}, {"run_name": "theirs"}, "this run has the name 'mine', and the generator has 'theirs'"),
        ({"join_secret": SECRET, "run_name": "mine"}, {}, "this run requires a secret"),
    ],
)
async def test_each_rejection_names_its_reason_and_nobody_hears_the_secret(conducts, joins, reason):
    told, outcome, overheard = await meet(GeneratorSettings(**conducts), GeneratorSettings(**joins))
    assert told.startswith(reason)
    assert outcome == (f"this generator was rejected: {told}" if reason else True)
    assert bool(told) == bool(reason)
    assert b'"hello"' in overheard
    assert b'"joined"' in overheard
    assert SECRET.encode() not in overheard


async def test_with_tls_they_meet_as_without(files):
    conductor = GeneratorSettings(join_secret=SECRET, **files["conductor"])
    assert (await meet(conductor, GeneratorSettings(join_secret=SECRET, **files["trusting"])))[:2] == ("", True)


@pytest.mark.parametrize(
    ("conducts", "joins", "words"),
    [
        (
            "conductor",
            "distrusting",
            r"TLS: the certificate is refused: .*put its authority into FANBENCH_JOIN_CA_FILE",
        ),
        ("conductor", "another name", r"TLS: the certificate is refused: .*that name into FANBENCH_JOIN_SNI"),
        (None, "trusting", "no TLS there: .*set FANBENCH_JOIN_CERT where fanbench runs"),
    ],
)
async def test_tls_that_cannot_be_agreed_upon_names_the_next_step(files, conducts, joins, words):
    told, outcome, _ = await meet(GeneratorSettings(**files.get(conducts, {})), GeneratorSettings(**files[joins]))
    assert told == "ended"
    with pytest.raises(FanbenchError, match=words):
        raise FanbenchError(outcome)


async def test_a_generator_takes_no_orders_from_somebody_without_its_secret():
    """Somebody in its conductor's place repeats the proof that he has just got, the only one that he has."""

    async def serve(reader, writer):
        writer.write(encode(ConductorTells(what="hello", nonce="0" * 64)).encode() + b"\n")
        asked = decode(MemberTells, await reader.readline(), "the generator")
        writer.write(encode(ConductorTells(what="welcome", proof=asked.proof)).encode() + b"\n")
        await reader.read()
        writer.close()

    settings = GeneratorSettings(join_secret=SECRET)
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        reader, writer = await connected(settings, "127.0.0.1", server.sockets[0].getsockname()[1])
        with pytest.raises(
            FanbenchError, match="the conductor does not know this generator's secret, so its orders are refused"
        ):
            await greeted(settings, reader, writer, USAGE)
        writer.close()


def linked(tls=None):
    """A connection as a conductor has it, and its other end."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(30)
    return MemberConnection(ours, "10.0.0.7:1234", tls), theirs


def test_a_member_that_is_silent_is_lost(monkeypatch):
    connection, theirs = linked()
    with theirs:
        assert connection.silent_s() == 0
        now_s = time.monotonic()
        monkeypatch.setattr("generator.join_link.time.monotonic", lambda: now_s + SILENT_S + 1)
        assert connection.silent_s() > 0.5
        theirs.sendall(MemberTells(what="alive").model_dump_json().encode() + b"\n" + b'{"version":2,"wh')
        assert connection.news() == []
        assert connection.silent_s() == 0
        theirs.sendall(b'at":"report","text":"x"}\n')
        assert [(one.what, one.text) for one in connection.news()] == [("report", "x")]
        connection.close()


def test_what_came_before_the_end_is_news_and_then_it_has_ended():
    connection, theirs = linked()
    assert connection.greet()
    theirs.sendall(b'{"what":"error","text":"no broker"}\n')
    theirs.close()
    assert [one.text for one in connection.news()] == ["no broker"]
    with pytest.raises((EOFError, ConnectionResetError)):
        connection.news()
    connection.close()


def test_a_stranger_may_not_fill_the_memory():
    connection, theirs = linked()
    with theirs:
        theirs.sendall(b'{"what":"alive"}\n' + b"x" * (GREETING_BYTES // 2))
        assert connection.news() == []
        theirs.sendall(b"x" * GREETING_BYTES)
        with pytest.raises(DocumentError, match=r"10\.0\.0\.7:1234: a line without end"):
            connection.news()
        connection.close()


def test_a_long_report_arrives_over_tls_in_pieces(files):
    """TLS hands out records of 16 KiB; a poll of the socket does not show those that are read already."""
    connection, theirs = linked(GeneratorSettings(**files["conductor"]).conductor_tls())
    context = GeneratorSettings(**files["trusting"]).joining_tls()
    wanted = MemberTells(what="report", text="r" * 3_000_000)

    def tell():
        with context.wrap_socket(theirs, server_hostname="127.0.0.1") as secure:
            assert b'"hello"' in secure.recv(1000)
            secure.sendall(encode(MemberTells(what="joined", usage=USAGE)).encode() + b"\n")
            assert b'"welcome"' in secure.recv(1000)
            secure.sendall(encode(wanted).encode() + b"\n")

    async def run():
        telling = asyncio.create_task(asyncio.to_thread(tell))
        news = await asyncio.to_thread(hear)
        await telling
        return news

    def hear():
        while connection.wish is None:
            readable([connection.fileno()])
            connection.news()
        assert connection.answer("", "") == ""
        found = []
        while not found:
            readable([connection.fileno()])
            found = connection.news()
        return found

    (news,) = asyncio.run(run())
    assert (news.what, len(news.text)) == ("report", 3_000_000)
    connection.close()


def test_bytes_that_are_not_tls_end_the_connection(files):
    connection, theirs = linked(GeneratorSettings(**files["conductor"]).conductor_tls())
    with theirs:
        theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ssl.SSLError):
            connection.news()
        connection.close()
