"""One connection of the HTTP publisher, against servers with every relevant kind of answer."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from core.endpoint.publish_request import PublishEncoder, parse_publish, publish_request
from core.endpoint.request import NamedValue, TlsSettings
from core.errors import UsageError
from generator.http_lane import HttpLane, PublishError
from generator.http_producer import http_producer

TAKEN = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Service:
    """Answers each request as `answer(number, connection)` says; None ends the connection without an answer."""

    def __init__(self, answer):
        self.answer = answer
        self.bodies = []
        self.connections = 0
        self.heads = []

    async def serve(self, reader, writer):
        self.connections += 1
        mine = self.connections
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
                self.heads.append(head)
                self.bodies.append((await reader.readexactly(length)).decode())
                answer = self.answer(len(self.bodies), mine)
                if asyncio.iscoroutine(answer):
                    answer = await answer
                if answer is None:
                    return
                writer.write(answer)
                if b"close" in answer:
                    await writer.drain()
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @property
    def url(self):
        return f"POST http://127.0.0.1:{self.port}/publish/{{topic}}"


@asynccontextmanager
async def served(answer):
    service = Service(answer)
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()


@asynccontextmanager
async def lane_to(service, depth=4, answer_s=30.0):
    origin, request = parse_publish(service.url)
    lane, encoder = HttpLane(origin, None, depth, answer_s), PublishEncoder(origin, request)
    try:
        yield lambda text: lane.send(encoder.encode("news", text.encode()))
    finally:
        await lane.close()


async def test_requests_go_out_in_order_before_their_answers_are_here_and_no_more_than_the_depth():
    gate, waiting = asyncio.Event(), []

    async def answer(number, _):
        await gate.wait()
        return TAKEN

    async with served(answer) as service, lane_to(service) as send:
        waiting = [asyncio.create_task(send(str(number))) for number in range(10)]
        async with asyncio.timeout(30):
            while not service.bodies:
                await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*waiting)
        assert service.bodies == [str(number) for number in range(10)]
        assert service.connections == 1
        assert service.heads[0].startswith("POST /publish/news HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_after_connection_close_the_rest_is_sent_again_and_nothing_twice_or_out_of_order():
    def answer(number, _):
        return LAST if number % 3 == 0 else TAKEN

    async with served(answer) as service, lane_to(service) as send:
        await asyncio.gather(*(send(str(number)) for number in range(10)))
        assert service.bodies == [str(number) for number in range(10)]
        assert service.connections == 4


async def test_a_refusal_fails_with_its_status_and_what_the_service_said_and_the_next_goes_on():
    def answer(number, _):
        return b"HTTP/1.1 503 No\r\nContent-Length: 8\r\n\r\ntoo many" if number == 1 else TAKEN

    async with served(answer) as service, lane_to(service) as send:
        first, second = await asyncio.gather(send("a"), send("b"), return_exceptions=True)
        assert isinstance(first, PublishError)
        assert (first.reason, second) == ("status 503", None)
        assert "too many" in str(first)
        assert service.connections == 1


async def test_a_connection_that_ends_silently_fails_its_requests_and_is_reopened():
    def answer(number, _):
        return None if number == 2 else TAKEN

    async with served(answer) as service, lane_to(service, depth=2) as send:
        found = await asyncio.gather(*(send(text) for text in "abc"), return_exceptions=True)
        assert found[0] is None
        assert found[1].reason == "connection lost before the answer"
        await send("d")
        assert service.bodies[-1] == "d"
        assert service.connections >= 2


async def test_a_service_that_does_not_answer_fails_it_in_time_and_does_not_mix_up_answers():
    async def answer(number, connection):
        if connection == 1:
            await asyncio.Event().wait()
        return TAKEN

    async with served(answer) as service, lane_to(service, answer_s=0.3) as send:
        with pytest.raises(PublishError, match=r"no answer within 0\.3 s"):
            await send("a")
        await send("b")
        assert service.bodies == ["a", "b"]


async def test_an_absent_service_fails_at_once_and_is_retried_later():
    async with served(lambda *_: TAKEN) as service:
        pass
    async with lane_to(service) as send:
        for _ in range(2):
            with pytest.raises(PublishError) as told:
                await send("a")
            assert told.value.reason == "not connected"
        assert "Connect call failed" in str(told.value)


async def test_an_answer_that_is_not_http_is_named():
    async with served(lambda *_: b"SSH-2.0-x\r\n\r\n") as service, lane_to(service) as send:
        with pytest.raises(PublishError, match="no HTTP answer"):
            await send("a")


async def test_half_an_answer_does_not_carry_over_to_the_next_connection():
    def answer(number, connection):
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n" if connection == 1 else None

    async with served(answer) as service, lane_to(service) as send:
        with pytest.raises(PublishError, match="no HTTP answer"):
            await send("a")
        with pytest.raises(PublishError, match="connection lost before the answer"):
            await send("b")
        assert service.bodies == ["a", "b"]


async def test_a_topic_keeps_to_one_connection_and_topics_are_spread():
    async with served(lambda *_: TAKEN) as service:
        origin, request = parse_publish(service.url)
        async with http_producer(origin, request, 4, 2, TlsSettings()) as producer:
            await asyncio.gather(*(producer.publish(f"t{n % 20}", f"{n % 20} {n}".encode()) for n in range(200)))
            assert producer.link.connected
        assert 1 < service.connections <= 4
        for topic in range(20):
            mine = [int(body.split()[1]) for body in service.bodies if body.startswith(f"{topic} ")]
            assert mine == sorted(mine)
            assert len(mine) == 10


def test_bodies_carry_the_event_as_a_service_wants_it():
    event, headers = (
        b'{"a":"\xc3\xa9 b"}',
        (NamedValue("X-Topic", "{topic}"), NamedValue("Content-Type", "application/json")),
    )
    for body, expected in (
        ("", b'{"a":"\xc3\xa9 b"}'),
        ('{"channel":"{topic:text}","data":{event}}', b'{"channel":"a\\"b","data":{"a":"\xc3\xa9 b"}}'),
        ('{"data":"{event:text}"}', b'{"data":"{\\"a\\":\\"\xc3\xa9 b\\"}"}'),
        ("topic={topic:form}&data={event:form}", b"topic=a%22b&data=%7B%22a%22%3A%22%C3%A9%20b%22%7D"),
    ):
        origin, request = parse_publish("PUT http://h:81/p?t={topic}", headers, body)
        head, _, sent = PublishEncoder(origin, request).encode('a"b', event).partition(b"\r\n\r\n")
        assert sent == expected
        assert head == (
            b'PUT /p?t=a%%22b HTTP/1.1\r\nHost: h:81\r\nX-Topic: a"b\r\nContent-Type: application/json\r\nContent-Length: %d'
            % len(expected)
        )


@pytest.mark.parametrize(
    ("text", "body", "words"),
    [
        ("http://h/p", "", "not a method and an address"),
        ("GET http://h/p", "", "not a method and an address"),
        ("POST http://user:secret@h/p", "", "credentials with a header"),
        ("POST ftp://h/p", "", "is not an http:// or https:// URL"),
        ("POST http://[::1/p", "", "Invalid IPv6 URL"),
        ("POST http://h/{tpic}", "", "{tpic} is not known"),
        ("POST http://h/{user}", "", "{user} has no meaning when publishing"),
        ("POST http://h/p", "nothing", "it does not contain the event"),
    ],
)
def test_what_cannot_be_used_is_named(text, body, words):
    with pytest.raises(UsageError) as told:
        parse_publish(text, (), body)
    assert words in str(told.value)
    assert "secret" not in str(told.value)


def test_a_relative_path_is_one_of_a_service_that_is_started():
    assert publish_request("POST", "/publish?topic={topic}").path == "/publish?topic={topic}"
