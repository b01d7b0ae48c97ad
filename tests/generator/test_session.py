"""The generator's other inputs, apart from its schedule, and its end."""

import asyncio
import contextlib
import socket
import urllib.error
import urllib.request

import pytest

from core.contracts.codec import read
from core.contracts.generator_report import GeneratorReport
from core.errors import TransientError, UsageError
from core.ports import free_port
from generator.session import run_session
from generator.settings import GeneratorSettings


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("Bearer s3cret", "line 1: give 'Name: value'"),
        ("X-User: {user}", "headers: X-User: {user} has no meaning when publishing"),
        ("X-A: b\n\nHost: s3cret", "line 2: Host follows from the rest of the request"),
    ],
)
async def test_an_invalid_header_is_named_by_its_line_and_not_shown(header, words):
    settings = GeneratorSettings(publish="POST http://127.0.0.1:1/{topic}", header=header)
    with pytest.raises(UsageError) as told:
        await run_session(settings)
    assert words in str(told.value)
    assert "s3cret" not in str(told.value)


async def test_a_second_signal_ends_the_wait_for_what_is_under_way_and_the_report_is_written(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        settings = GeneratorSettings(
            publish=f"POST http://127.0.0.1:{silent.getsockname()[1]}/{{topic}}",
            rate_hz=100,
            report=tmp_path / "report.json",
        )
        session = asyncio.create_task(run_session(settings))
        async with asyncio.timeout(20):
            connection, _ = await asyncio.get_running_loop().sock_accept(silent)
            with connection:
                await asyncio.get_running_loop().sock_recv(connection, 1)
                for _ in range(2):
                    session.cancel()
                    for _ in range(5):  # the first leads to the wait for the answers
                        await asyncio.sleep(0)
                with pytest.raises(TransientError, match="not awaited at the end"):
                    await session
    report = read(GeneratorReport, tmp_path / "report.json")
    assert report is not None
    assert report.failures == {"not awaited at the end": report.scheduled}


async def test_metrics_are_served_until_all_is_answered():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = free_port()
        settings = GeneratorSettings(
            publish=f"POST http://127.0.0.1:{silent.getsockname()[1]}/{{topic}}",
            rate_hz=100,
            duration_s=0.1,
            metrics_port=port,
        )

        def page():
            with (
                contextlib.suppress(urllib.error.URLError),
                urllib.request.urlopen(f"http://127.0.0.1:{port}") as answer,
            ):
                return answer.read().decode()

        session = asyncio.create_task(run_session(settings))
        async with asyncio.timeout(20):
            while 'fanbench_sent_total{phase="measure"} 10.0' not in (await asyncio.to_thread(page) or ""):
                await asyncio.sleep(0.01)
            for _ in range(20):  # the schedule has ended
                assert "fanbench_in_flight 10.0" in await asyncio.to_thread(page)
        session.cancel()
        with pytest.raises(TransientError, match="not awaited at the end"):
            await session


async def test_a_service_that_accepts_nothing_is_told_of_when_a_signal_ends_the_generator():
    refused = asyncio.Event()

    async def refuse(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError), contextlib.closing(writer):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                refused.set()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server, asyncio.timeout(20):
        port = server.sockets[0].getsockname()[1]
        settings = GeneratorSettings(publish=f"POST http://127.0.0.1:{port}/{{topic}}", rate_hz=100)
        session = asyncio.create_task(run_session(settings))
        await refused.wait()
        session.cancel()
        with pytest.raises(TransientError, match=r"was accepted: .* x status 404"):
            await session
